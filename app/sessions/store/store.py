"""Sessions in PostgreSQL: reads, and the statements that change them, over the raw pool."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from app.db.models import Action, InvocationStatus
from app.errors import NotFoundError
from app.flows.model.secondary_store import MAX_LOADED
from app.sessions.store.change import Change, change_json
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import DueStep
from app.sessions.store.outcome import NotStarted, Resumed, Started, Superseded
from app.sessions.store.snapshot import (
    ActionWithSession,
    ChildSession,
    IdleSession,
    PollStatus,
    PreviousAnswer,
    SessionWithInvocation,
    Snapshot,
)
from app.sessions.store.sql import change_sql, read_sql
from app.sessions.store.sql.expired_sessions import ExpiredSessions
from app.sessions.store.sql.forms import Form, Forms
from app.sessions.store.sql.message_reads import MessageReads
from app.sessions.store.step_store import StepStore
from app.sessions.store.stored_rows import read_action
from app.sizes.limit import SizeLimit


class FailedInvocation(NamedTuple):
    """An invocation that failed, and from which its session can still go on; `model` as it was."""

    id: str
    state: str
    event: str
    input: str
    flow_fingerprint: str | None
    model: bytes


class OverdueInvocation(NamedTuple):
    """An invocation that has run for longer than it may."""

    org_id: str
    session_id: str
    id: str


class LateAction(NamedTuple):
    """An open action whose time is up."""

    org_id: str
    session_id: str
    id: str


class SessionStore(StepStore, MessageReads, ExpiredSessions):
    """The sessions of one database; `None` or False: the fence had moved on, nothing changed."""

    async def load(self, org_id: str, session_id: str) -> Snapshot:
        """A session with its model.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        snapshot, _ = await self.load_for_event(org_id, session_id, None)
        return snapshot

    async def load_for_event(
        self,
        org_id: str,
        session_id: str,
        idempotency_key: str | None,
        sender_id: str | None = None,
    ) -> tuple[Snapshot, PreviousAnswer | None]:
        """A session with its model, and what its idempotency key was answered before.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        row = await self._one(read_sql.LOAD, session_id, org_id, idempotency_key, sender_id)
        previous = None
        if row["known_hash"] is not None:
            previous = PreviousAnswer(row["known_hash"], row["known_answer"])
        snapshot = Snapshot.from_row(row)
        if row["is_subscribed"]:
            snapshot = replace(snapshot, sender_is_subscribed=True)
        return snapshot, previous

    async def opened(
        self, org_id: str, session_id: str, idempotency_key: str
    ) -> tuple[PreviousAnswer, datetime] | None:
        """What the key of a session's start was answered, and when that session was made."""
        row = await self._pool.fetchrow(read_sql.OPENED, session_id, org_id, idempotency_key)
        if row is None:
            return None
        return PreviousAnswer(row["request_hash"], row["answer"]), row["created"]

    async def values(self, session_id: str, keys: Collection[str]) -> dict[str, bytes]:
        """Values of a session's secondary store, as they are stored, of those that are there.

        Raises:
            SizeLimitError: together they are too much.
        """
        rows = await self._pool.fetch(read_sql.STORED_VALUES, session_id, list(keys), MAX_LOADED)
        limit = SizeLimit("The stored values that are read", MAX_LOADED)
        limit.add(rows[0]["total"] if rows else 0)
        return {row["key"]: row["payload"] for row in rows}

    async def view(
        self, org_id: str, session_id: str, next_message: int | None = None
    ) -> SessionWithInvocation:
        """A session as it is read, with the invocation that runs.

        Args:
            org_id: of the session.
            session_id: the session.
            next_message: the index of a message that comes along, if it is the last.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        row = await self._one(read_sql.VIEW, session_id, org_id, next_message)
        view = SessionWithInvocation.from_row(row)
        view.open_actions.extend(await self._actions_below(row))
        return view

    async def status(self, org_id: str, session_id: str) -> PollStatus:
        """A session as a client that polls sees it, in one query.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        row = await self._one(read_sql.STATUS, session_id, org_id)
        status = PollStatus.from_row(row)
        status.open_actions.extend(await self._actions_below(row))
        return status

    async def action(self, org_id: str, action_id: str) -> ActionWithSession:
        """An action with its session.

        Raises:
            NotFoundError: there is no such action in the org.
        """
        row = await self._pool.fetchrow(read_sql.ACTION, action_id, org_id)
        if row is None:
            raise NotFoundError(f"There is no action {action_id!r}.")
        return ActionWithSession.from_row(row)

    async def child(self, org_id: str, session_id: str) -> ChildSession | None:
        """A session as the step looks at it that started it; None where it is gone."""
        row = await self._pool.fetchrow(read_sql.CHILD, session_id, org_id)
        return None if row is None else ChildSession(**row)

    async def above(self, session_id: str) -> list[str]:
        """The sessions by whose steps a session was started, from its parent on."""
        return [row["id"] for row in await self._pool.fetch(read_sql.ABOVE, session_id)]

    async def start(self, change: Change) -> Started | NotStarted:
        """Writes a new session."""
        forms, fence = change_sql.START, {}
        if change.started_by is not None:
            forms, fence = change_sql.START_CHILD, change.started_by._asdict()
        document = await change_json(change, **fence)
        rows = await self._change(_statement(forms, change), document, change.model)
        return Started(rows[0]["created"]) if rows else NotStarted()

    async def admit(self, change: Change) -> bool:
        """Writes what a client's event did."""
        return await self._write_event(change_sql.ADMIT, change)

    async def complete(
        self,
        claim: Claim,
        change: Change,
        result: str | None,
        error: str | None,
        *,
        cancelled: bool = False,
    ) -> bool:
        """Writes the end of an invocation by its last step, and what its event did."""
        failed = InvocationStatus.CANCELLED if cancelled else InvocationStatus.FAILED
        closing = {
            "step_id": claim.step_id,
            "attempt": claim.attempt,
            "result": result,
            "closes": claim.invocation_id,
            "closed_as": InvocationStatus.DONE if error is None else failed,
            "closed_error": error,
        }
        document = await change_json(change, **closing)
        return await self._write(_statement(change_sql.COMPLETE, change), document, change.model)

    async def close(
        self, invocation_id: str, change: Change, error: str, *, cancelled: bool
    ) -> bool:
        """Writes the end of an invocation from outside; its open steps are superseded."""
        status = InvocationStatus.CANCELLED if cancelled else InvocationStatus.FAILED
        closing = {"closes": invocation_id, "closed_as": status, "closed_error": error}
        return await self._write_event(change_sql.CLOSE, change, **closing)

    async def resume(self, failed: FailedInvocation, change: Change) -> Resumed | Superseded:
        """Lets a failed invocation go on as the new one of the change."""
        document = await change_json(change, resumes=failed.id)
        rows = await self._change(_statement(change_sql.RESUME, change), document, change.model)
        due = [DueStep(*row) for row in rows]
        return Resumed(due) if due else Superseded()

    async def changed(self, ages: dict[str, float]) -> set[str]:
        """The sessions, of some with seconds, that changed within these seconds or are gone."""
        rows = await self._pool.fetch(read_sql.CHANGED, list(ages), list(ages.values()))
        return {row["id"] for row in rows}

    async def overdue(self) -> list[OverdueInvocation]:
        """Invocations that have run for longer than they may."""
        return [OverdueInvocation(*row) for row in await self._pool.fetch(read_sql.OVERDUE)]

    async def late_actions(self) -> list[LateAction]:
        """Actions that nobody resolved in time."""
        return [LateAction(*row) for row in await self._pool.fetch(read_sql.LATE_ACTIONS)]

    async def expire_action(self, action_id: str) -> None:
        """Closes an action that its session does not wait for any more."""
        await self._pool.execute(change_sql.EXPIRE_ACTION, action_id)

    async def failed_invocation(self, session: Snapshot) -> FailedInvocation | None:
        """The failed invocation whose end was the session's last transition."""
        row = await self._pool.fetchrow(read_sql.FAILED_INVOCATION, session.id, session.version)
        return None if row is None else FailedInvocation(*row)

    async def unfinished_steps(self, invocation_id: str) -> list[str]:
        """The paths of the leaves that an invocation did not finish, those that failed first."""
        rows = await self._pool.fetch(read_sql.UNFINISHED_STEPS, invocation_id)
        return [row["path"] for row in rows]

    async def past_states(self, session_id: str) -> list[str]:
        """The states that a session was in, the latest first, as far as it matters."""
        rows = await self._pool.fetch(read_sql.PAST_STATES, session_id)
        return [row["target"] for row in rows]

    async def last_acted_state(self, session_id: str) -> str | None:
        """The state in which a client acted last: it invokes nothing, whatever the flow is."""
        state: str | None = await self._pool.fetchval(read_sql.LAST_ACTED, session_id)
        return state

    async def last_event_version(self, session_id: str, *, of_client: bool = False) -> int:
        """The version that the event of a client, or of a timer too, made last."""
        query = read_sql.LAST_CLIENT_EVENT if of_client else read_sql.LAST_EVENT
        version: int = await self._pool.fetchval(query, session_id)
        return version

    async def failed_states(self, session_id: str) -> set[str]:
        """The states that the session left with an error since a client acted."""
        return {r["source"] for r in await self._pool.fetch(read_sql.FAILED_STATES, session_id)}

    async def idle(self, after: str, most: int) -> list[IdleSession]:
        """Sessions in which no invocation runs, by id, from the one after `after` on."""
        return [IdleSession(*row) for row in await self._pool.fetch(read_sql.IDLE, after, most)]

    async def _actions_below(self, row: asyncpg.Record) -> list[Action]:
        """What sessions wait for that the steps of a session started, as far as it may have any."""
        if not row["has_children"]:
            return []
        below = await self._pool.fetch(read_sql.ACTIONS_BELOW, row["id"])
        return [read_action(action["action"]) for action in below]

    async def _write_event(self, forms: Forms, change: Change, **extra: Any) -> bool:
        """Writes a change that may have a client's event."""
        document = await change_json(change, **extra)
        try:
            return await self._write(_statement(forms, change), document, change.model)
        except asyncpg.UniqueViolationError:
            # The same idempotency key was admitted at this moment: to be read again.
            return False

    async def _one(self, query: str, session_id: str, *arguments: Any) -> asyncpg.Record:
        row = await self._pool.fetchrow(query, session_id, *arguments)
        if row is None:
            raise NotFoundError(f"There is no session {session_id!r}.")
        return row


def _statement(forms: Forms, change: Change) -> str:
    return forms[Form.of(change)]
