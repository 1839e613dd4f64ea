"""The rows that a change adds: a session, an event, messages, an invocation, steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import orjson

from app.db.engine import EncodedJson
from app.db.models import MessageStatus, StepStatus
from app.enums import MessageRole, StepKind, ThreadVisibility
from app.flows.graph import PlannedStep
from app.flows.scope import StepScope
from app.kit.concurrency.off_loop import LIGHT_BYTES, off_loop
from app.kit.ids import new_id
from app.sessions.store.protocol import PROTOCOL, WHOLE_SCOPE
from app.sizes.limit import is_long, size_of

_MANY_STEPS = 200


class DueStep(NamedTuple):
    """A step that a worker may take now."""

    step_id: str
    queue: str
    org_id: str


class StepFence(NamedTuple):
    """One attempt of a step: what it writes counts only while the step is at that attempt."""

    step_id: str
    attempt: int


@dataclass(slots=True)
class NewMessage:
    """A message to append to the dialogue; blocks as on the wire.

    `made_by` is the attempt that generated it; `reasoning` is what its model is sent back with the
    results of its calls, which no reader sees. `created_by` is the user who wrote it, where
    that is another than who sends the event of the change.
    """

    role: MessageRole
    content: list[dict[str, Any]]
    status: MessageStatus = MessageStatus.COMPLETED
    made_by: StepFence | None = None
    reasoning: str | None = None
    created_by: str | None = None

    @classmethod
    def text(cls, role: MessageRole, text: str) -> Self:
        """A message of one block of text."""
        return cls(role, [{"content_type": "text", "text": text}])

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will come to it."""
        return self.status is not MessageStatus.GENERATING

    def row(self, idx: int) -> dict[str, Any]:
        """The row as the statements take it, at its place in the dialogue."""
        step_id, attempt = self.made_by or (None, None)
        return {
            "idx": idx,
            "role": self.role,
            "content": self.content,
            "status": self.status,
            "step_id": step_id,
            "attempt": attempt,
            "reasoning": self.reasoning,
        }


@dataclass(slots=True)
class ClientEvent:
    """An event that a client sent, as it is kept, with the answer to it."""

    id: str
    name: str
    input: str
    created_by: str
    request_hash: str
    idempotency_key: str | None = None
    answer: dict[str, Any] | None = None


@dataclass(slots=True)
class NewStep:
    """A step to be stored; with a lease (in seconds) it is claimed by who stores it.

    Of its scope is stored what lies beyond `outer`, that of the composite above it: what many steps
    see is there once.
    """

    id: str
    invocation_id: str
    parent_id: str | None
    planned: PlannedStep
    max_attempts: int
    outer: StepScope
    lease: float | None = None
    own: StepScope = field(init=False)
    # As text: jsonb holds no NUL, which an item of a map may.
    fields: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.own = self.planned.scope.beyond(self.outer)
        self.fields = orjson.dumps(self.own.fields)

    @property
    def size(self) -> int:
        """The bytes of what is stored of it that others may have too."""
        texts = (self.own.previous_result, self.planned.result)
        return len(self.fields) + sum(size_of(text) for text in texts if text is not None)

    @property
    def is_composite(self) -> bool:
        """Whether it waits for other steps."""
        return self.planned.kind is not StepKind.LEAF

    @property
    def status(self) -> StepStatus:
        """What it is stored as. The root with a result is queued: a worker ends the invocation."""
        if self.is_composite:
            return StepStatus.WAITING
        if self.planned.result is not None and self.planned.path:
            return StepStatus.DONE
        return StepStatus.QUEUED if self.lease is None else StepStatus.RUNNING

    def row(self) -> dict[str, Any]:
        """The row as the statements take it."""
        return {
            "id": self.id,
            "invocation_id": self.invocation_id,
            "parent_id": self.parent_id,
            "path": self.planned.path,
            "kind": self.planned.kind,
            "status": self.status,
            "queue": self.planned.queue,
            "attempt": 0 if self.lease is None else 1,
            "lease": self.lease,
            "max_attempts": self.max_attempts,
            "protocol": WHOLE_SCOPE if self.outer == StepScope() else PROTOCOL,
            "remaining": self.planned.remaining,
            "input": {
                "previous_result": self.own.previous_result,
                "fields": self.fields.decode(),
            },
            "result": self.planned.result,
        }


@dataclass(slots=True)
class NewInvocation:
    """An entry into an invoker state; `event` ends it, `input` is what its templates see.

    It fails by itself after `seconds`. `flow_fingerprint` tells by which code of a flow in code the
    state was entered.
    """

    state: str
    event: str
    input: str
    seconds: float
    flow_fingerprint: str | None = None
    id: str = field(default_factory=lambda: new_id("inv"))


@dataclass(frozen=True, slots=True)
class NewSession:
    """What only the start of a session writes; `ttl` is its life in seconds, None for ever."""

    flow: str
    flow_revision: int
    visibility: ThreadVisibility
    created_by: str
    user_info: dict[str, Any] | None = None
    model_profile: str | None = None
    budget: dict[str, Any] | None = None
    agent_id: str | None = None
    agent_revision: int | None = None
    forked_from_id: str | None = None
    forked_from_message: int | None = None
    ttl: int | None = None


def due_steps(steps: list[NewStep], org_id: str) -> list[DueStep]:
    """Those of new steps that a worker may take."""
    queued = (step for step in steps if step.status is StepStatus.QUEUED)
    return [DueStep(step.id, step.planned.queue, org_id) for step in queued]


async def encoded(document: Callable[[], Any], *, heavy: bool) -> EncodedJson:
    """The JSON of what a function gives, which may have dataclasses in it."""
    return await off_loop(lambda: EncodedJson(orjson.dumps(document()).decode()), heavy=heavy)


def is_heavy(steps: Sequence[NewStep], values: Any) -> bool:
    """Whether it takes long to write new steps, and values beside them, as JSON."""
    if len(steps) > _MANY_STEPS or sum(step.size for step in steps) > LIGHT_BYTES:
        return True
    return is_long(values)
