"""A session as it was read: plain values, no queries."""

from collections.abc import Collection
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Self

import asyncpg

from app.db.models import Action
from app.enums import (
    ThreadVisibility,
)
from app.flows.flow import Flow
from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.session_model import SessionModel
from app.goals.turn import GoalStatus
from app.idempotency.request import check_same
from app.kit.concurrency.off_loop import LIGHT_BYTES, off_loop
from app.sessions.store.chart_memory import ChartMemory
from app.sessions.store.stored_rows import StoredGoal, StoredMessage, read_action


@dataclass(frozen=True, slots=True)
class SessionHead:
    """A session's row without its model, which may be large.

    `version` is the fence: a change is written only onto the version that was read. `chart` is what
    the statechart keeps beside the state.
    """

    id: str
    org_id: str
    flow: str
    flow_revision: int
    state: str
    version: int
    invocation_id: str | None
    task_error: str | None
    message_count: int
    title: str | None
    visibility: ThreadVisibility
    model_profile: str | None
    budget: dict[str, Any] | None
    user_info: dict[str, Any] | None
    agent_id: str | None
    forked_from_id: str | None
    forked_from_message: int | None
    parent_session_id: str | None
    depth: int
    chart: dict[str, Any] | None
    created: datetime
    created_by: str

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The session in any row that has its columns."""
        columns = {name: row[name] for name in _columns(cls)}  # type: ignore[arg-type] # a class is hashable
        return cls(**columns | {"visibility": ThreadVisibility(row["visibility"])})


@dataclass(frozen=True, slots=True)
class Snapshot(SessionHead):
    """A session with its model, and the keys of its secondary store.

    Attributes:
        stored_keys: of all values; None where there are none.
        loaded: the values that are loaded, serialized.
        missed: the keys of others that something of the session read.
        sender_is_subscribed: whether who sends an event is subscribed to skills.
    """

    model: bytes
    stored_keys: list[str] | None
    loaded: dict[str, bytes] = field(default_factory=dict)
    missed: set[str] = field(default_factory=set, compare=False)
    sender_is_subscribed: bool = field(default_factory=bool)  # of an event, not of the row

    @property
    def is_heavy(self) -> bool:
        """Whether the model, or what is done with all of it, takes long to be read."""
        stored = [self.model, *(payload.partition(b":")[2] for payload in self.loaded.values())]
        return sum(map(SessionModel.stored_size, stored)) > LIGHT_BYTES

    async def open_model(self, flow: Flow) -> SessionModel:
        """`load_model`, beside the event loop where that takes long."""
        return await off_loop(lambda: self.load_model(flow), heavy=self.is_heavy)

    def load_model(self, flow: Flow) -> SessionModel:
        """The session's model, upgraded to the flow's schema version where it is older.

        Raises:
            SerializationError: it does not fit the flow.
        """
        model = flow.model.deserialize(self.model)
        model.session_id = self.id
        model.state = self.state
        model.task_error = self.task_error
        model.user_info = self.user_info
        model._history = ChartMemory.from_column(self.chart).history  # noqa: SLF001 - the engine's own
        if self.stored_keys:
            model.secondary_store = SecondaryStore.from_stored(
                self.stored_keys, self.loaded, self.missed
            )
        return model

    def with_values(self, keys_asked: Collection[str], values: dict[str, bytes]) -> Self:
        """The same with values that were asked for; those that are not there are gone by now."""
        keys = [key for key in self.stored_keys or () if key not in keys_asked or key in values]
        return replace(self, stored_keys=keys, loaded=self.loaded | values)


class IdleSession(NamedTuple):
    """A session in which no invocation runs; `invocation_id` may name one that is over."""

    id: str
    org_id: str
    flow: str
    flow_revision: int
    state: str
    version: int
    invocation_id: str | None


@cache
def _columns(cls: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if one.default_factory is MISSING)


@dataclass(frozen=True, slots=True)
class PreviousAnswer:
    """What an idempotency key was answered before, and to which request."""

    request_hash: bytes
    answer: dict[str, Any]

    def for_request(self, request_hash: bytes) -> dict[str, Any]:
        """The answer, if it was to the same request.

        Raises:
            IdempotencyMismatchError: it was to another one.
        """
        check_same(self.request_hash, request_hash)
        return self.answer


@dataclass(frozen=True, slots=True)
class RunningInvocation:
    """The invocation of a session; its step is named where a single one makes the answer."""

    invocation_id: str
    event: str
    since: datetime
    step_id: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class SessionWithInvocation:
    """A session, what runs in it, its goals, and its open actions: of one moment.

    The actions of sessions that its steps started are its own too. `last_message` is there where
    it is the one that was asked for.
    """

    session: SessionHead
    running: RunningInvocation | None
    goals: list[StoredGoal]
    open_actions: list[Action]
    last_message: StoredMessage | None

    @property
    def asked_by_steps(self) -> list[str]:
        """Ids of the open actions that come and go while the session's version stays.

        Steps ask them, and so do sessions that its steps started.
        """
        own = self.session.id
        return [
            one.id for one in self.open_actions if one.step_id is not None or one.session_id != own
        ]

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The session in a row of the viewing statement."""
        running = None
        if row["running_id"] is not None:
            running = RunningInvocation(
                row["running_id"],
                row["ending_event"],
                row["entered"],
                row["step_id"],
                row["attempt"] or 0,
            )
        goals = [
            StoredGoal(**goal | {"status": GoalStatus(goal["status"])})
            for goal in row["goals"] or []
        ]
        actions = [read_action(columns) for columns in row["open_actions"]]
        last = None if row["said_idx"] is None else StoredMessage.from_row(row, "said_")
        return cls(SessionHead.from_row(row), running, goals, actions, last)


@dataclass(frozen=True, slots=True)
class ChildSession:
    """A session as the step looks at it that started it.

    Attributes:
        awaited: whether it runs, or waits for people or clients.
        seconds: since it was started.
        error: why its last turn failed.
        answer: the blocks of what it said last.
        output: the last of a turn with an output schema.
    """

    flow: str
    state: str
    awaited: bool
    seconds: float
    error: str | None
    answer: list[dict[str, Any]] | None
    output: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ActionWithSession:
    """An action, and the session whose it is."""

    action: Action
    session: SessionHead

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The action in a row of its statement."""
        return cls(read_action(row["action"]), SessionHead.from_row(row))


@dataclass(frozen=True, slots=True)
class PollStatus:
    """A session as a client that polls sees it.

    Attributes:
        last_content: the blocks of the last message that its last transition made.
        total: steps of the invocation that runs, as far as they are known.
        done: those of them that are done.
        open_actions: what it waits for.
    """

    session: SessionHead
    last_content: list[dict[str, Any]] | None
    total: int
    done: int
    open_actions: list[Action]

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The session in a row of the status statement."""
        return cls(
            SessionHead.from_row(row),
            row["last_content"],
            int(row["total"] or 0),
            row["done"] or 0,
            [read_action(columns) for columns in row["open_actions"]],
        )
