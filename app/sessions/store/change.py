"""A change of a session as it will be written: plain values, no queries."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import orjson

from app.db.models import MessageStatus, StepStatus
from app.enums import MessageRole, StepKind, ThreadVisibility
from app.flows.graph import PlannedStep
from app.flows.model.session_model import SessionModel
from app.flows.move import ClosedAction, OpenedAction
from app.goals.turn import GoalChange
from app.kit.ids import new_id
from app.sessions.store.cause import Cause
from app.sessions.store.goal_rows import GoalRow, goal_columns
from app.sessions.store.protocol import PROTOCOL
from app.sessions.store.snapshot import SessionHead


class DueStep(NamedTuple):
    """A step that a worker may take now."""

    step_id: str
    queue: str


class StepFence(NamedTuple):
    """One attempt of a step: what it writes counts only while the step is at that attempt."""

    step_id: str
    attempt: int


@dataclass(slots=True)
class NewMessage:
    """A message to append to the dialogue; blocks as on the wire.

    `made_by` is the attempt that generated it.
    """

    role: MessageRole
    content: list[dict[str, Any]]
    status: MessageStatus = MessageStatus.COMPLETED
    made_by: StepFence | None = None

    @classmethod
    def text(cls, role: MessageRole, text: str) -> Self:
        """A message of one block of text."""
        return cls(role, [{"content_type": "text", "text": text}])

    @property
    def is_complete(self) -> bool:
        """Whether nothing more will come to it."""
        return self.status is not MessageStatus.GENERATING

    def row(self, idx: int) -> dict[str, Any]:
        """As the statements take it, at its place in the dialogue."""
        step_id, attempt = self.made_by or (None, None)
        return {
            "idx": idx,
            "role": self.role,
            "content": self.content,
            "status": self.status,
            "step_id": step_id,
            "attempt": attempt,
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
    """A step to be stored; with a lease (in seconds) it is claimed by who stores it."""

    id: str
    invocation_id: str
    parent_id: str | None
    planned: PlannedStep
    max_attempts: int
    lease: float | None = None

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
        """As the statements take it."""
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
            "protocol": PROTOCOL,
            "remaining": self.planned.remaining,
            "input": {
                "previous_result": self.planned.scope.previous_result,
                # As text: jsonb holds no NUL, which an item of a map may.
                "fields": orjson.dumps(self.planned.scope.fields).decode(),
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
class ParentStep:
    """The attempt of a step that starts a session."""

    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class NewSession:
    """What only the start of a session writes; `ttl` is its life in seconds, None for ever.

    One with a `parent` is gone when that is.
    """

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
    parent: ParentStep | None = None


@dataclass(slots=True)
class Change:
    """One transition of a session, with all that it writes.

    Made by `opening` or `of`. `messages_before` is the length of the dialogue before it, `growth`
    what is added to the last message before it, which was not complete. With `withdraws_asks` it
    ends an invocation whose steps may ask people. `budget` is the session's new one, None where it
    stays. `parent_session_id` is the session of the step that may wait for this one.
    """

    session_id: str
    org_id: str
    version: int
    state: str
    model: bytes
    cause: Cause
    event: str
    messages_before: int
    source: str | None = None
    error: str | None = None
    title: str | None = None
    messages: list[NewMessage] = field(default_factory=list)
    growth: NewMessage | None = None
    stored: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    actions: list[OpenedAction | ClosedAction] = field(default_factory=list)
    invocation: NewInvocation | None = None
    steps: list[NewStep] = field(default_factory=list)
    client_event: ClientEvent | None = None
    new_session: NewSession | None = None
    goals: list[GoalRow] = field(default_factory=list)
    withdraws_asks: bool = False
    budget: dict[str, Any] | None = None
    parent_session_id: str | None = None

    @classmethod
    def opening(
        cls,
        session_id: str,
        org_id: str,
        new_session: NewSession,
        *,
        event: str,
        title: str | None = None,
    ) -> Self:
        """The start of a session; its state and model are not known yet."""
        return cls(
            session_id=session_id,
            org_id=org_id,
            version=1,
            state="",
            model=b"",
            cause=Cause.new_event(),
            event=event,
            messages_before=0,
            title=title,
            new_session=new_session,
        )

    @classmethod
    def of(cls, before: SessionHead, *, cause: Cause, event: str, error: str | None) -> Self:
        """A change of a session; until it is moved, it stays in its state."""
        return cls(
            session_id=before.id,
            org_id=before.org_id,
            version=before.version,
            state=before.state,
            source=before.state,
            model=b"",
            cause=cause,
            event=event,
            error=error,
            messages_before=before.message_count,
            parent_session_id=before.parent_session_id,
        )

    @property
    def message_count(self) -> int:
        """The length of the dialogue after the change."""
        return self.messages_before + len(self.messages)

    @property
    def is_of_agent(self) -> bool:
        """Whether it writes what only turns with tools or goals do."""
        return bool(self.growth or self.actions or self.goals)

    @property
    def complete_count(self) -> int:
        """How many messages there are after the change to which nothing more will come."""
        last = self.messages[-1] if self.messages else self.growth
        return self.message_count - (last is not None and not last.is_complete)

    @property
    def due(self) -> list[DueStep]:
        """The steps that a worker may take once it is committed."""
        return due_steps(self.steps)

    def add_goals(self, changes: Sequence[GoalChange]) -> None:
        """Takes over changes of goals; those that are new are declared by the last message."""
        self.goals += [GoalRow(change, self.message_count - 1) for change in changes]

    def pack(self, model: SessionModel, *, compression: bool) -> None:
        """Takes over the model and its secondary store as they will be stored."""
        self.model = model.serialize(compression=compression)
        values = model.secondary_store
        self.stored = values.unpersisted_serialized(compression)
        self.deleted = sorted(values.deleted_keys)

    def document(self, **extra: Any) -> dict[str, Any]:
        """As the statements take it: JSON, once orjson has written its dataclasses."""
        return {
            "session_id": self.session_id,
            "org_id": self.org_id,
            "version": self.version,
            "state": self.state,
            "source": self.source,
            "cause": self.cause.text,
            "event": self.event,
            "error": self.error,
            "title": self.title,
            "message_count": self.message_count,
            "messages": [m.row(idx) for idx, m in enumerate(self.messages, self.messages_before)],
            "growth": self.growth and self.growth.row(self.messages_before - 1),
            "stored": [
                {"key": key, "payload": base64.b64encode(payload).decode()}
                for key, payload in self.stored.items()
            ],
            "deleted": self.deleted,
            "opened": [action for action in self.actions if isinstance(action, OpenedAction)],
            "closed": [action for action in self.actions if isinstance(action, ClosedAction)],
            "invocation": self.invocation,
            "client_event": self.client_event,
            "steps": [step.row() for step in self.steps],
            "new_session": self.new_session,
            "budget": self.budget,
            **goal_columns(self.goals),
            **extra,
        }


def due_steps(steps: list[NewStep]) -> list[DueStep]:
    """Those of new steps that a worker may take."""
    queued = (step for step in steps if step.status is StepStatus.QUEUED)
    return [DueStep(step.id, step.planned.queue) for step in queued]
