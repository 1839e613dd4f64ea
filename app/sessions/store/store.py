"""Sessions in PostgreSQL: reads, and the statements that change them, over the raw pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from app.db.models import InvocationStatus
from app.errors import NotFoundError
from app.sessions.store import change_sql, read_sql, step_sql
from app.sessions.store.change import Change, DueStep, NewStep, StepFence
from app.sessions.store.claim import Claim, Composite
from app.sessions.store.snapshot import (
    IdleSession,
    PollStatus,
    PreviousAnswer,
    SessionWithInvocation,
    Snapshot,
    StoredMessage,
)
from app.wire.messages import plain_text

# Two changes that lock the same steps in another order: PostgreSQL ends one, which tries again.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ChildResult:
    """The result of a claimed step, whether it is cut, and the parallel or map that it is in."""

    step_id: str
    attempt: int
    result: str
    counted: str
    cut: bool


class FailedInvocation(NamedTuple):
    """An invocation that failed, and from which its session can still go on."""

    id: str
    state: str
    event: str
    input: str
    flow_fingerprint: str | None


class OverdueInvocation(NamedTuple):
    """An invocation that has run for longer than it may."""

    org_id: str
    session_id: str
    id: str


class SessionStore:
    """Every change is one statement. `None` or False: the fence had moved on, nothing changed."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def load(self, org_id: str, session_id: str) -> Snapshot:
        """A session with its model.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        snapshot, _ = await self.load_for_event(org_id, session_id, None)
        return snapshot

    async def load_for_event(
        self, org_id: str, session_id: str, idempotency_key: str | None
    ) -> tuple[Snapshot, PreviousAnswer | None]:
        """A session with its model, and what its idempotency key was answered before.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        row = await self._one(read_sql.LOAD, session_id, org_id, idempotency_key)
        previous = None
        if row["known_hash"] is not None:
            previous = PreviousAnswer(row["known_hash"], row["known_answer"])
        return Snapshot.from_row(row), previous

    async def view(self, org_id: str, session_id: str) -> SessionWithInvocation:
        """A session as it is read, with the invocation that runs.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        return SessionWithInvocation.from_row(await self._one(read_sql.VIEW, session_id, org_id))

    async def status(self, org_id: str, session_id: str) -> PollStatus:
        """A session as a client that polls sees it, in one query.

        Raises:
            NotFoundError: there is no such session in the org.
        """
        return PollStatus.from_row(await self._one(read_sql.STATUS, session_id, org_id))

    async def start(self, change: Change) -> datetime | None:
        """Writes a new session, and gives its time of creation.

        None: its id, made from an idempotency key, is there already.
        """
        rows = await self._change(change_sql.START, change.document(), change.model)
        return rows[0]["created"] if rows else None

    async def admit(self, change: Change) -> bool:
        """Writes what a client's event did."""
        try:
            return await self._write(change_sql.ADMIT, change.document(), change.model)
        except asyncpg.UniqueViolationError:
            # The same idempotency key was admitted at this moment: to be read again.
            return False

    async def complete(
        self, claim: Claim, change: Change, result: str | None, error: str | None
    ) -> bool:
        """Writes the end of an invocation by its last step, and what its event did."""
        closing = {
            "step_id": claim.step_id,
            "attempt": claim.attempt,
            "result": result,
            "closes": claim.invocation_id,
            "closed_as": InvocationStatus.DONE if error is None else InvocationStatus.FAILED,
            "closed_error": error,
        }
        return await self._write(change_sql.COMPLETE, change.document(**closing), change.model)

    async def close(
        self, invocation_id: str, change: Change, error: str, *, cancelled: bool
    ) -> bool:
        """Writes the end of an invocation from outside; its open steps are superseded."""
        status = InvocationStatus.CANCELLED if cancelled else InvocationStatus.FAILED
        closing = {"closes": invocation_id, "closed_as": status, "closed_error": error}
        return await self._write(change_sql.CLOSE, change.document(**closing), change.model)

    async def resume(self, failed: FailedInvocation, change: Change) -> list[DueStep] | None:
        """Lets a failed invocation go on as the new one of the change; the steps that are due."""
        document = change.document(resumes=failed.id)
        rows = await self._change(change_sql.RESUME, document)
        return [DueStep(row["id"], row["queue"]) for row in rows] or None

    async def advance(
        self,
        claim: Claim,
        result: str,
        *,
        parent_id: str,
        to_come: int,
        cut: bool,
        composites: list[tuple[str, str]],
        steps: list[NewStep],
    ) -> bool:
        """Writes the result of a step after which the invocation goes on.

        Args:
            claim: the step.
            result: what its invoker gave back.
            parent_id: where the result's rise ends: a parallel or map that loses an open child
                and keeps another; or a chain that goes on with `steps`.
            to_come: how many more steps that chain needs at least.
            cut: whether an answer in what has risen to `parent_id` is cut.
            composites: (id, result) of composites that are done with this step.
            steps: what starts now.
        """
        document = {
            "step_id": claim.step_id,
            "attempt": claim.attempt,
            "result": result,
            "counted": None if steps else parent_id,
            "chain": parent_id if steps else None,
            "to_come": to_come,
            "cut": cut,
            "composites": [{"id": id_, "result": text} for id_, text in composites],
            "steps": [step.row() for step in steps],
        }
        return await self._write(step_sql.ADVANCE, document)

    async def count(self, results: list[ChildResult]) -> list[bool]:
        """Writes results after which their parallels and maps go on; whether each was written."""
        rows = await self._change(step_sql.COUNT, results)
        written = {row["id"] for row in rows}
        return [one.step_id in written for one in results]

    async def claim(self, step_ids: list[str], lease: float) -> list[Claim | None]:
        """Takes the steps that are due, or whose lease lapsed; one named twice is taken once."""
        rows = await self._pool.fetch(step_sql.CLAIM, step_ids, lease)
        claims = {row["step_id"]: Claim.from_row(row) for row in rows}
        return [claims.pop(step_id, None) for step_id in step_ids]

    async def put_back(
        self, fence: StepFence, delay: float, error: str, *, failures: int, losses: int = 0
    ) -> DueStep | None:
        """Gives a step up for a later attempt; None if it is not ours any more."""
        queue: str | None = await self._pool.fetchval(
            step_sql.PUT_BACK, *fence, delay, error, failures, losses
        )
        return None if queue is None else DueStep(fence.step_id, queue)

    async def renew(self, held: Sequence[StepFence], lease: float) -> dict[str, bool]:
        """Renews leases; the ids of the steps that are still ours, False where a row is locked."""
        ids, attempts = [fence.step_id for fence in held], [fence.attempt for fence in held]
        rows = await self._pool.fetch(step_sql.RENEW, ids, attempts, lease)
        return {row["id"]: row["renewed"] for row in rows}

    async def renew_locked(self, fence: StepFence, lease: float) -> bool:
        """Renews a lease once nobody has locked its row; False: not within a lock's timeout."""
        try:
            await self._pool.execute(step_sql.RENEW_LOCKED, *fence, lease)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    async def sweep(self, republish: float, queues: list[str], pause: float) -> list[DueStep]:
        """Due steps that nobody claimed, and lapsed ones, of queues whose turn it is.

        Args:
            republish: seconds for which a step was not published.
            queues: of the worker that sweeps.
            pause: seconds between the sweeps of a queue.
        """
        rows = await self._pool.fetch(step_sql.SWEEP, republish, sorted(queues), pause)
        return [DueStep(row["id"], row["queue"]) for row in rows]

    async def take_due(self, republish: float, free: dict[str, int]) -> list[DueStep]:
        """The same of each queue, as many as it has free slots, whoever swept it when."""
        if not free:
            return []
        queues, most = list(free), list(free.values())
        rows = await self._pool.fetch(step_sql.TAKE_DUE, republish, queues, most)
        return [DueStep(row["id"], row["queue"]) for row in rows]

    async def expire(self, most: int) -> int:
        """Deletes sessions whose time is up, so many at once; how many there were."""
        return len(await self._pool.fetch(change_sql.EXPIRE, most))

    async def changed(self, ages: dict[str, float]) -> set[str]:
        """The sessions, of some with seconds, that changed within these seconds or are gone."""
        rows = await self._pool.fetch(read_sql.CHANGED, list(ages), list(ages.values()))
        return {row["id"] for row in rows}

    async def overdue(self) -> list[OverdueInvocation]:
        """Invocations that have run for longer than they may."""
        return [OverdueInvocation(*row) for row in await self._pool.fetch(read_sql.OVERDUE)]

    async def failed_invocation(self, session: Snapshot) -> FailedInvocation | None:
        """The failed invocation whose end was the session's last transition."""
        row = await self._pool.fetchrow(read_sql.FAILED_INVOCATION, session.id, session.version)
        return None if row is None else FailedInvocation(*row)

    async def unfinished_steps(self, invocation_id: str) -> list[str]:
        """The paths of the leaves that an invocation did not finish, those that failed first."""
        rows = await self._pool.fetch(read_sql.UNFINISHED_STEPS, invocation_id)
        return [row["path"] for row in rows]

    async def composites(self, invocation_id: str) -> dict[str, Composite]:
        """The open composites of an invocation, by path."""
        rows = await self._pool.fetch(read_sql.COMPOSITES, invocation_id)
        return {row["path"]: Composite.from_row(row) for row in rows}

    async def results(self, composite_id: str) -> dict[str, str]:
        """The results of a composite's children that are done, by path."""
        rows = await self._pool.fetch(read_sql.RESULTS, composite_id)
        return {row["path"]: row["result"] for row in rows}

    async def past_states(self, session_id: str) -> list[str]:
        """The states that a session was in, the latest first, as far as it matters."""
        rows = await self._pool.fetch(read_sql.PAST_STATES, session_id)
        return [row["target"] for row in rows]

    async def last_acted_state(self, session_id: str) -> str | None:
        """The state in which a client acted last: it invokes nothing, whatever the flow is."""
        state: str | None = await self._pool.fetchval(read_sql.LAST_ACTED, session_id)
        return state

    async def last_event_version(self, session_id: str) -> int:
        """The version that a client's event made last: its turn began there."""
        version: int = await self._pool.fetchval(read_sql.LAST_EVENT, session_id)
        return version

    async def failed_states(self, session_id: str) -> set[str]:
        """The states that the session left with an error since a client acted."""
        return {r["source"] for r in await self._pool.fetch(read_sql.FAILED_STATES, session_id)}

    async def idle(self, after: str, most: int) -> list[IdleSession]:
        """Sessions in which no invocation runs, by id, from the one after `after` on."""
        return [IdleSession(*row) for row in await self._pool.fetch(read_sql.IDLE, after, most)]

    async def dialogue(
        self, session_id: str, limit: int | None, characters: int | None
    ) -> list[tuple[str, str]]:
        """The most recent messages that have text, whole, oldest first, as (role, text)."""
        rows = await self._pool.fetch(read_sql.DIALOGUE, session_id, limit, characters)
        messages = [(row["role"], plain_text(row["content"])) for row in reversed(rows)]
        return [(role, text) for role, text in messages if text]

    async def conversation(
        self, session_id: str, limit: int, characters: int
    ) -> list[tuple[str, list[dict[str, Any]]]]:
        """The most recent messages, whole, oldest first, as (role, blocks)."""
        rows = await self._pool.fetch(read_sql.CONVERSATION, session_id, limit, characters)
        return [(row["role"], row["content"]) for row in reversed(rows)]

    async def messages(self, session_id: str, first: int = 0) -> list[StoredMessage]:
        """Messages from an index on, in order."""
        rows = await self._pool.fetch(read_sql.MESSAGES, session_id, first)
        return [StoredMessage.from_row(row) for row in rows]

    async def _one(self, query: str, session_id: str, *arguments: Any) -> asyncpg.Record:
        row = await self._pool.fetchrow(query, session_id, *arguments)
        if row is None:
            raise NotFoundError(f"There is no session {session_id!r}.")
        return row

    async def _write(self, statement: str, document: dict[str, Any], *model: bytes) -> bool:
        return bool(await self._change(statement, document, *model))

    async def _change(self, statement: str, document: Any, *model: bytes) -> list[asyncpg.Record]:
        for _ in range(_TRIES - 1):
            try:
                return await self._fetch(statement, document, *model)
            except asyncpg.DeadlockDetectedError:
                continue
        return await self._fetch(statement, document, *model)

    async def _fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._pool.fetch(statement, *arguments)
        return rows
