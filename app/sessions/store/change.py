"""A session as it was read, and a change of it as it will be written: plain values, no queries."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson

from app.flows.flow import Flow
from app.flows.graph import PlannedStep
from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.session_model import SessionModel
from app.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session's row. `version` is the fence: a change is written only onto the same version.

    `stored_values` is the secondary store, each value as it was serialized.
    """

    id: str
    org_id: str
    flow: str
    flow_revision: int
    state: str
    model: bytes
    version: int
    invocation_id: str | None
    task_error: str | None
    message_count: int
    title: str | None
    visibility: str
    user_info: dict[str, Any] | None
    agent_id: str | None
    forked_from_id: str | None
    forked_from_message: int | None
    created: datetime
    created_by: str
    stored_values: dict[str, str] | None

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """From any row that holds the session's columns and its `stored_values`."""
        return cls(**{name: row[name] for name in cls.__slots__})

    def load_model(self, flow: Flow) -> SessionModel:
        """The session's model, upgraded to the flow's schema version where it is older.

        Raises:
            SerializationError: it does not fit the flow.
        """
        model = flow.model.deserialize(self.model)
        model.session_id = self.id
        model.state = self.state
        if self.stored_values:
            model.secondary_store = SecondaryStore.from_serialized(self.values())
        return model

    def values(self) -> dict[str, bytes]:
        """The secondary store's values as they are stored."""
        return {key: base64.b64decode(value) for key, value in (self.stored_values or {}).items()}


@dataclass(slots=True)
class NewMessage:
    """A message to append to the dialogue; blocks as on the wire."""

    role: str
    content: list[dict[str, Any]]
    status: str = "completed"
    step_id: str | None = None
    attempt: int | None = None

    @classmethod
    def text(cls, role: str, text: str) -> Self:
        """A message of one block of text."""
        return cls(role, [{"content_type": "text", "text": text}])

    def row(self, idx: int) -> dict[str, Any]:
        """As the statements take it, at its place in the dialogue."""
        return {
            "idx": idx,
            "role": self.role,
            "content": self.content,
            "status": self.status,
            "step_id": self.step_id,
            "attempt": self.attempt,
        }


@dataclass(slots=True)
class ClientEvent:
    """The event of a client, as it is kept: with what the client was told."""

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
    def status(self) -> str:
        """What it is stored as. The root with a result is queued: a worker ends the invocation."""
        if self.planned.kind != "leaf":
            return "waiting"
        if self.planned.result is not None and self.planned.path:
            return "done"
        return "queued" if self.lease is None else "running"

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
    """An entry into an invoker state; `event` ends it, `input` is what its templates see."""

    state: str
    event: str
    input: str
    id: str = field(default_factory=lambda: new_id("inv"))


@dataclass(slots=True)
class Change:
    """One transition of a session, with all that it writes.

    `messages_before` is the length of the dialogue before it.
    """

    session_id: str
    org_id: str
    version: int
    state: str
    model: bytes
    cause: str
    event: str
    messages_before: int
    source: str | None = None
    error: str | None = None
    title: str | None = None
    messages: list[NewMessage] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    invocation: NewInvocation | None = None
    steps: list[NewStep] = field(default_factory=list)
    client_event: ClientEvent | None = None
    start: dict[str, Any] | None = None

    @property
    def message_count(self) -> int:
        """How long the dialogue is after the change."""
        return self.messages_before + len(self.messages)

    def pack(self, model: SessionModel, *, compression: bool) -> None:
        """Take over the model and its secondary store as they will be stored."""
        self.model = model.serialize(compression=compression)
        values = model.secondary_store
        self.stored = values.unpersisted_serialized(compression)
        self.dropped = sorted(values.deleted_keys)

    def document(self, **extra: Any) -> dict[str, Any]:
        """As the statements take it: JSON, once orjson has written its dataclasses."""
        return {
            "session_id": self.session_id,
            "org_id": self.org_id,
            "version": self.version,
            "state": self.state,
            "source": self.source,
            "cause": self.cause,
            "event": self.event,
            "error": self.error,
            "title": self.title,
            "message_count": self.message_count,
            "messages": [m.row(idx) for idx, m in enumerate(self.messages, self.messages_before)],
            "stored": [
                {"key": key, "payload": base64.b64encode(payload).decode()}
                for key, payload in self.stored.items()
            ],
            "dropped": self.dropped,
            "invocation": self.invocation,
            "client_event": self.client_event,
            "steps": [step.row() for step in self.steps],
            "start": self.start,
            **extra,
        }


def ready(steps: list[NewStep]) -> list[tuple[str, str]]:
    """What to publish once it is committed: (step id, queue)."""
    return [(step.id, step.planned.queue) for step in steps if step.status == "queued"]
