"""Sessions, invocations and steps in memory, under the rules of the statements that keep them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.db.models import InvocationStatus, StepStatus
from app.errors import NotFoundError
from app.sessions.store.cause import CauseKind
from app.sessions.store.change import Change
from app.sessions.store.chart_memory import ChartMemory
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import DueStep, NewInvocation, StepFence
from app.sessions.store.outcome import NotStarted, Resumed, Started, Superseded
from app.sessions.store.snapshot import IdleSession, PreviousAnswer, Snapshot
from app.sessions.store.step_store import DueSession, Wait
from app.sessions.store.store import FailedInvocation, OverdueInvocation
from app.wire.messages import plain_text
from tests.support.step_rows import Row, StepRowsInMemory

_NOW = datetime.now(UTC).isoformat()
_OPEN = (StepStatus.WAITING, StepStatus.QUEUED, StepStatus.RUNNING)


@dataclass
class InvocationRow:
    new: NewInvocation
    session_id: str
    status: InvocationStatus = InvocationStatus.RUNNING
    model: bytes | None = None


class SessionsInMemory(StepRowsInMemory):
    """What `SessionStore` does: each method is one statement, fenced as that one is."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Snapshot] = {}
        self.invocations: dict[str, InvocationRow] = {}
        self.transitions: list[Change] = []
        self.messages: list[tuple[str, str]] = []
        self.answers: dict[str, PreviousAnswer] = {}
        self.lapsed: set[str] = set()
        self.is_overdue = False
        self.is_timer_due = False

    @property
    def session(self) -> Snapshot:
        """The only session."""
        (session,) = self.sessions.values()
        return session

    @property
    def running(self) -> InvocationRow | None:
        """The invocation that is open, if the session names it."""
        row = self.invocations.get(self.session.invocation_id or "")
        return row if row and row.status is InvocationStatus.RUNNING else None

    async def load(self, org_id: str, session_id: str) -> Snapshot:
        session, _ = await self.load_for_event(org_id, session_id, None)
        return session

    async def load_for_event(
        self, _org_id: str, session_id: str, key: str | None, _sender_id: str | None = None
    ) -> tuple[Snapshot, PreviousAnswer | None]:
        if session_id not in self.sessions:
            raise NotFoundError("There is no such session.")
        return self.sessions[session_id], self.answers.get(key or "")

    async def start(self, change: Change) -> Started | NotStarted:
        new, now = change.new_session, datetime.now(UTC)
        assert new is not None
        if change.session_id in self.sessions:
            return NotStarted()
        self.sessions[change.session_id] = Snapshot(
            id=change.session_id,
            org_id=change.org_id,
            flow=new.flow,
            flow_revision=new.flow_revision,
            state="",
            version=0,
            invocation_id=None,
            task_error=None,
            message_count=0,
            title=None,
            visibility=new.visibility,
            model_profile=new.model_profile,
            budget=new.budget,
            user_info=None,
            agent_id=None,
            forked_from_id=None,
            parent_session_id=None,
            depth=0,
            chart=None,
            forked_from_message=None,
            created=now,
            created_by=new.created_by,
            model=b"",
            stored_keys=None,
        )
        self._apply(change, change.model)
        return Started(now)

    async def admit(self, change: Change) -> bool:
        event = change.client_event
        known = event is not None and event.idempotency_key in self.answers
        if known or self.session.version != change.version:
            return False
        self._apply(change, change.model)
        return True

    async def complete(
        self,
        claim: Claim,
        change: Change,
        result: str | None,
        error: str | None,
        *,
        cancelled: bool = False,
    ) -> bool:
        if not (self._is_open(claim.invocation_id, change) and self._is_held(*claim.fence)):
            return False
        row = self.rows[claim.step_id]
        failed = StepStatus.SUPERSEDED if cancelled else StepStatus.FAILED
        row.status = StepStatus.DONE if error is None else failed
        row.result = result
        left = StepStatus.DONE if error is None else StepStatus.SUPERSEDED
        ended = InvocationStatus.CANCELLED if cancelled else InvocationStatus.FAILED
        closed = InvocationStatus.DONE if error is None else ended
        self._close(claim.invocation_id, left, closed)
        self._apply(change, change.model)
        return True

    async def close(
        self, invocation_id: str, change: Change, _error: str, *, cancelled: bool
    ) -> bool:
        if not self._is_open(invocation_id, change):
            return False
        closed = InvocationStatus.CANCELLED if cancelled else InvocationStatus.FAILED
        self._close(invocation_id, StepStatus.SUPERSEDED, closed)
        self._apply(change, change.model)
        return True

    async def resume(self, failed: FailedInvocation, change: Change) -> Resumed | Superseded:
        row = self.invocations[failed.id]
        session, new = self.session, change.invocation
        if session.version != change.version or session.invocation_id or row.model is None:
            return Superseded()
        assert new is not None
        row.model = None
        self._apply(change, change.model)
        for step in self._steps(failed.id):
            step.step.invocation_id = new.id
            step.failures = 0
            step.losses = int(step.status is StepStatus.SUPERSEDED and step.attempt > 0)
            if step.status is not StepStatus.DONE:
                composite = step.step.is_composite
                step.status = StepStatus.WAITING if composite else StepStatus.QUEUED
        due = [
            DueStep(step.step.id, step.step.planned.queue, change.org_id)
            for step in self._steps(new.id)
            if step.status is StepStatus.QUEUED
        ]
        return Resumed(due) if due else Superseded()

    async def claim(self, step_ids: list[str], _lease: float) -> list[Claim | None]:
        return [self._claim(step_id) for step_id in step_ids]

    async def put_back(
        self, fence: StepFence, _delay: float, _error: str, *, failures: int
    ) -> DueStep | Superseded:
        if not self._is_held(*fence):
            return Superseded()
        row = self.rows[fence.step_id]
        row.status, row.failures = StepStatus.QUEUED, row.failures + failures
        return DueStep(fence.step_id, row.step.planned.queue, "org")

    async def idle(self, _after: str, _most: int) -> list[IdleSession]:
        if self.running is not None:
            return []
        session = self.session
        return [
            IdleSession(
                session.id,
                session.org_id,
                session.flow,
                session.flow_revision,
                session.state,
                session.version,
                session.invocation_id,
            )
        ]

    async def take_timers(self, _lease: float, _most: int) -> list[DueSession]:
        """The session, once after its time has come."""
        session, is_due, self.is_timer_due = self.session, self.is_timer_due, False
        timers = (session.chart or {}).get("timers")
        if not is_due or session.invocation_id is not None or not timers:
            return []
        return [DueSession(session.org_id, session.id, datetime.now(UTC))]

    async def overdue(self) -> list[OverdueInvocation]:
        running, session = self.running, self.session
        if not self.is_overdue or running is None:
            return []
        return [OverdueInvocation(session.org_id, session.id, running.new.id)]

    async def failed_invocation(self, session: Snapshot) -> FailedInvocation | None:
        id_ = self.transitions[session.version - 1].cause.id
        row = self.invocations.get(id_)
        if row is None or row.status is InvocationStatus.DONE or row.model is None:
            return None
        new = row.new
        return FailedInvocation(
            id_, new.state, new.event, new.input, new.flow_fingerprint, row.model
        )

    async def past_states(self, _session_id: str) -> list[str]:
        return list(dict.fromkeys(change.state for change in reversed(self.transitions)))

    async def ended_waits(self, _invocation_id: str) -> list[Wait]:
        return []  # no step of these charts waits

    async def failed_states(self, _session_id: str) -> set[str]:
        found: set[str] = set()
        for change in reversed(self.transitions):
            if change.cause.kind is CauseKind.EVENT:
                break
            found |= {change.source} if change.source and change.error else set()
        return found

    async def last_event_version(self, _session_id: str, *, of_client: bool = False) -> int:
        kinds = (CauseKind.EVENT,) if of_client else (CauseKind.EVENT, CauseKind.TIMER)
        numbered = reversed([*enumerate(self.transitions, start=1)])
        return next(version for version, c in numbered if c.cause.kind in kinds)

    async def last_acted_state(self, _session_id: str) -> str | None:
        acted = (c.source for c in reversed(self.transitions) if c.cause.kind is CauseKind.EVENT)
        return next(filter(None, acted), None)

    async def dialogue(
        self, _session_id: str, limit: int | None, _characters: int
    ) -> list[tuple[str, str]]:
        return self.messages[-limit if limit else None :]

    def _claim(self, step_id: str) -> Claim | None:
        row = self.rows[step_id]
        lost = row.status is StepStatus.RUNNING and step_id in self.lapsed
        running, session = self.running, self.session
        if running is None or row.step.invocation_id != running.new.id:
            return None
        if not (lost or row.status is StepStatus.QUEUED):
            return None
        self.lapsed.discard(step_id)
        row.losses += lost
        new = running.new
        return replace(
            self.claim_one(step_id),
            event=new.event,
            state=new.state,
            actor_input=new.input,
            session=session,
        )

    def _is_open(self, invocation_id: str, change: Change) -> bool:
        running = self.running
        named = running is not None and running.new.id == invocation_id
        return named and self.session.version == change.version

    def _close(self, invocation_id: str, left: StepStatus, closed: InvocationStatus) -> None:
        for step in self._steps(invocation_id):
            if step.status in _OPEN:
                step.status = left
        row = self.invocations[invocation_id]
        row.status = closed
        row.model = None if closed is InvocationStatus.DONE else self.session.model

    def _steps(self, invocation_id: str) -> Sequence[Row]:
        return [row for row in self.rows.values() if row.step.invocation_id == invocation_id]

    def _apply(self, change: Change, model: bytes) -> None:
        before = self.sessions[change.session_id]
        assert change.cause not in {earlier.cause for earlier in self.transitions}
        self.transitions.append(change)
        self.sessions[before.id] = replace(
            before,
            state=change.state,
            model=model,
            version=before.version + 1,
            invocation_id=change.invocation.id if change.invocation else None,
            task_error=change.error,
            message_count=change.message_count,
            chart=_stored(change.chart),
        )
        self.messages += [(m.role.value, plain_text(m.content)) for m in change.messages]
        if change.invocation is not None:
            self.invocations[change.invocation.id] = InvocationRow(change.invocation, before.id)
        event = change.client_event
        if event is not None and event.idempotency_key is not None:
            hash_ = bytes.fromhex(event.request_hash)
            self.answers[event.idempotency_key] = PreviousAnswer(hash_, event.answer or {})
        self.add(change.steps)


def _stored(chart: ChartMemory) -> dict[str, Any] | None:
    """What the statements write of it: here all timers are due at once."""
    kept = {
        "timers": [asdict(timer) | {"due": _NOW, "seconds": None} for timer in chart.timers],
        "history": chart.history,
    }
    return {key: value for key, value in kept.items() if value} or None
