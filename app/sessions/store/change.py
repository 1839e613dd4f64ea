"""A change of a session as it will be written: plain values, no queries."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from app.db.engine import EncodedJson
from app.enums import MessageRole
from app.flows.model.session_model import SessionModel
from app.flows.move import ClosedAction, OpenedAction
from app.flows.states import FlowStates
from app.goals.turn import GoalChange
from app.sessions.store.cause import Cause
from app.sessions.store.chart_memory import ChartMemory
from app.sessions.store.goal_rows import GoalRow, goal_columns
from app.sessions.store.new_rows import (
    ClientEvent,
    DueStep,
    NewInvocation,
    NewMessage,
    NewSession,
    NewStep,
    StepFence,
    due_steps,
    encoded,
    is_heavy,
)
from app.sessions.store.snapshot import SessionHead


@dataclass(slots=True)
class Change:
    """One transition of a session, with all that it writes.

    Made by `opening` or `of`. `messages_before` is the length of the dialogue before it, `growth`
    what is added to the last message before it, which was not complete. With `withdraws_asks` it
    ends an invocation whose steps may ask people. `budget` is the session's new one, None where it
    stays. `started_by` is the attempt of the step that starts the session, with whose session it is
    gone; `parent_session_id` the session of the step that may wait for it. `chart` is what the
    statechart keeps from now on, `had_chart` whether it kept something before. `refusal` says why
    the event of a timer was dropped.
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
    started_by: StepFence | None = None
    goals: list[GoalRow] = field(default_factory=list)
    withdraws_asks: bool = False
    budget: dict[str, Any] | None = None
    parent_session_id: str | None = None
    chart: ChartMemory = field(default_factory=ChartMemory)
    had_chart: bool = False
    refusal: str | None = None

    @classmethod
    def opening(
        cls,
        session_id: str,
        org_id: str,
        new_session: NewSession,
        *,
        event: str,
        title: str | None = None,
        started_by: StepFence | None = None,
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
            started_by=started_by,
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
            chart=ChartMemory.from_column(before.chart),
            had_chart=before.chart is not None,
        )

    @property
    def writes_chart(self) -> bool:
        """Whether what the statechart keeps is to be written: in most flows it is nothing, ever."""
        return self.had_chart or bool(self.chart)

    def put_into(self, state: str, flow: FlowStates | None) -> None:
        """Takes over a state where no event leads; without the flow none of its timers starts."""
        left, entered = set(self.state.split()), state.split()
        started = flow.timers(one for one in entered if one not in left) if flow else []
        self.chart = self.chart.moved(left.difference(entered), started)
        self.state = state

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
        return due_steps(self.steps, self.org_id)

    @property
    def is_heavy(self) -> bool:
        """Whether it takes long to be written as JSON."""
        event = self.client_event
        texts = [event.input, event.answer] if event is not None else []
        said = [*self.messages, *([self.growth] if self.growth else [])]
        contents = [message.content for message in said]
        stored = list(self.stored.values())
        return is_heavy(self.steps, [texts, contents, stored])

    def add_goals(self, changes: Sequence[GoalChange]) -> None:
        """Takes over changes of goals; those that are new are declared by the last message."""
        self.goals += [GoalRow(change, self.message_count - 1) for change in changes]

    def pack(self, model: SessionModel, *, compression: bool, max_values: int) -> None:
        """Takes over the model and its secondary store as they will be stored.

        Raises:
            SizeLimitError: one of them has more bytes or values than may be stored.
        """
        self.model = model.serialize(compression=compression, max_values=max_values)
        if model._history != self.chart.history:  # noqa: SLF001 - the engine's own attribute
            self.chart = replace(self.chart, history=model._history)  # noqa: SLF001
        values = model.secondary_store
        self.stored = values.unpersisted_serialized(compression, max_values)
        self.deleted = sorted(values.deleted_keys)

    def document(self, **extra: Any) -> dict[str, Any]:
        """The change as the statements take it: JSON, once orjson has written its dataclasses."""
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
            "messages": [
                message.row(idx) | {"created_by": self._author(message)}
                for idx, message in enumerate(self.messages, self.messages_before)
            ],
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
            "refusal": self.refusal,
            "chart": self.chart.document() if self.writes_chart else None,
            **goal_columns(self.goals),
            **extra,
        }

    def _author(self, message: NewMessage) -> str | None:
        """The user who wrote a message; copies of one say it, all others come with an event."""
        if message.role is not MessageRole.USER:
            return None
        is_fork = self.new_session is not None and self.new_session.forked_from_id is not None
        if is_fork or self.client_event is None:
            return message.created_by
        return self.client_event.created_by


async def change_json(change: Change, **extra: Any) -> EncodedJson:
    """The document of a change, as `Change.document` gives it, as JSON."""
    return await encoded(lambda: change.document(**extra), heavy=change.is_heavy)
