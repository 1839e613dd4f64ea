"""Steps in PostgreSQL: what workers claim, renew, finish and put back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from app.db.engine import EncodedJson
from app.sessions.store.claim import Claim, Composite, composites_of
from app.sessions.store.new_rows import DueStep, NewStep, StepFence, encoded, is_heavy
from app.sessions.store.outcome import Superseded
from app.sessions.store.sql import change_sql, read_sql, step_sql
from app.sizes.limit import SizeLimit

# Two changes that lock the same steps in another order: PostgreSQL ends one, which tries again.
_TRIES = 3

# Bytes of the results of one map: 128 calls of tools, each with a result of 256 KB, go through.
_MAX_RESULTS = 40_000_000


@dataclass(frozen=True, slots=True)
class ChildResult:
    """The result of a claimed step, whether it is cut, and the parallel or map that it is in."""

    step_id: str
    attempt: int
    result: str
    counted: str
    cut: bool


class Wait(NamedTuple):
    """What a step waits for; or, where the step has `ended`, waited for until then."""

    waits_for: str
    org_id: str
    ended: bool


class DueSession(NamedTuple):
    """A session in which at `moment` the time of a timer had come."""

    org_id: str
    id: str
    moment: datetime


class StepStore:
    """The steps; each change is one statement. False: the fence had moved on, none was written."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

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
            parent_id: where the result stops: a parallel or map that loses an open child
                and keeps another; or a chain that goes on with `steps`.
            to_come: how many more steps that chain needs at least.
            cut: whether an answer in what came up to `parent_id` is cut.
            composites: (id, result) of composites that are done with this step.
            steps: what starts now.
        """

        def document() -> dict[str, Any]:
            return {
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

        texts = [result, *(text for _, text in composites)]
        heavy = is_heavy(steps, texts)
        return await self._write(step_sql.ADVANCE, await encoded(document, heavy=heavy))

    async def count(self, results: list[ChildResult]) -> list[bool]:
        """Writes results after which their parallels and maps go on; whether each was written."""
        heavy = is_heavy([], [one.result for one in results])
        rows = await self._change(step_sql.COUNT, await encoded(lambda: results, heavy=heavy))
        written = {row["id"] for row in rows}
        return [one.step_id in written for one in results]

    async def claim(
        self, step_ids: list[str], lease: float, *, suspects: bool = False
    ) -> list[Claim | None]:
        """Takes the steps that are due; one named twice is taken once.

        Args:
            step_ids: the steps.
            lease: seconds.
            suspects: takes those too whose lease lapsed, now or before: their worker was lost.
        """
        rows = await self._pool.fetch(step_sql.CLAIM, step_ids, lease, suspects)
        claims = {row["step_id"]: Claim.from_row(row) for row in rows}
        return [claims.pop(step_id, None) for step_id in step_ids]

    async def put_back(
        self, fence: StepFence, delay: float, error: str, *, failures: int, losses: int = 0
    ) -> DueStep | Superseded:
        """Gives a step up for a later attempt."""
        row = await self._pool.fetchrow(step_sql.PUT_BACK, *fence, delay, error, failures, losses)
        return Superseded() if row is None else DueStep(*row)

    async def suspend(
        self, fence: StepFence, waits_for: str, seconds: float, invocation_seconds: float
    ) -> bool:
        """Lets a step wait without a worker; False if it is not ours any more.

        Args:
            fence: the attempt that ends so.
            waits_for: id of the session or action that it waits for.
            seconds: after which it is run again, whatever became of that.
            invocation_seconds: that its invocation may take then.
        """
        rows = await self._pool.fetch(
            step_sql.SUSPEND, *fence, waits_for, seconds, invocation_seconds
        )
        return bool(rows)

    async def wake(self, waited_for: Sequence[str]) -> list[DueStep]:
        """Queues the steps for which what they wait for has come, or whose time is up.

        Args:
            waited_for: ids of sessions and actions that may be what they wait for.
        """
        rows = await self._pool.fetch(step_sql.WAKE, waited_for)
        return [DueStep(*row) for row in rows]

    async def waits(self, after: str, most: int) -> list[Wait]:
        """What steps wait for, or waited for when they ended, by id, after the one `after`."""
        return [Wait(*row) for row in await self._pool.fetch(step_sql.WAITS, after, most)]

    async def ended_waits(self, invocation_id: str) -> list[Wait]:
        """What the steps of an invocation waited for when it ended."""
        rows = await self._pool.fetch(step_sql.ENDED_WAITS, invocation_id)
        return [Wait(*row) for row in rows]

    async def forget_wait(self, waited_for: str) -> None:
        """Notes that nothing has to be done any more about what an ended step waited for."""
        await self._pool.execute(step_sql.FORGET_WAIT, waited_for)

    async def renew(self, held: Sequence[StepFence], lease: float) -> dict[str, bool]:
        """Renews leases; the ids of the steps that are still ours, False where a row is locked."""
        ids, attempts = [fence.step_id for fence in held], [fence.attempt for fence in held]
        rows = await self._pool.fetch(step_sql.RENEW, ids, attempts, lease)
        return {row["id"]: row["renewed"] for row in rows}

    async def renew_locked(self, fence: StepFence, lease: float) -> bool:
        """Renews a lease once nobody has locked its row; False: not within a lock's timeout."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(step_sql.OWNER_WAITS, fence.step_id)
                await connection.execute(step_sql.LOCK_STEP, fence.step_id)
                await connection.execute(step_sql.RENEW_LOCKED, *fence, lease)
        except asyncpg.LockNotAvailableError:
            return False
        return True

    async def sweep(self, republish: float, queues: list[str], pause: float) -> list[DueStep]:
        """The due steps that nobody claimed, and lapsed ones, of queues whose turn it is.

        Args:
            republish: seconds for which a step was not published.
            queues: of the worker that sweeps.
            pause: seconds between the sweeps of a queue.
        """
        rows = await self._pool.fetch(step_sql.SWEEP, republish, sorted(queues), pause)
        return [DueStep(*row) for row in rows]

    async def take_due(self, republish: float, free: dict[str, int]) -> list[DueStep]:
        """The same of each queue, as many as it has free slots, whoever swept it when."""
        if not free:
            return []
        queues, most = list(free), list(free.values())
        rows = await self._pool.fetch(step_sql.TAKE_DUE, republish, queues, most)
        return [DueStep(*row) for row in rows]

    async def composites(self, invocation_id: str) -> dict[str, Composite]:
        """The open composites of an invocation, by path."""
        rows = await self._pool.fetch(read_sql.COMPOSITES, invocation_id)
        return composites_of(rows)

    async def results(self, composite_id: str) -> dict[str, str]:
        """The results of a composite's children that are done, by path.

        Raises:
            SizeLimitError: together they are too much.
        """
        rows = await self._pool.fetch(read_sql.RESULTS, composite_id, _MAX_RESULTS)
        limit = SizeLimit("What the steps come to together", _MAX_RESULTS)
        limit.add(rows[0]["total"] if rows else 0)
        return {row["path"]: row["result"] for row in rows}

    async def call_results(self, invocation_id: str) -> list[str]:
        """The results, so far, of an invocation whose steps are calls of tools."""
        rows = await self._pool.fetch(read_sql.CALL_RESULTS, invocation_id, _MAX_RESULTS)
        return [row["result"] for row in rows]

    async def _write(self, statement: str, document: EncodedJson, *model: bytes) -> bool:
        return bool(await self._change(statement, document, *model))

    async def _change(
        self, statement: str, document: EncodedJson, *model: bytes
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record]
        for _ in range(_TRIES - 1):
            try:
                rows = await self._pool.fetch(statement, document, *model)
            except asyncpg.DeadlockDetectedError:
                continue
            return rows
        rows = await self._pool.fetch(statement, document, *model)
        return rows

    async def take_timers(self, lease_seconds: float, most: int) -> list[DueSession]:
        """Sessions in which the time of a timer has come; nobody else gets them for so long."""
        rows = await self._pool.fetch(change_sql.TIMERS, lease_seconds, most)
        return [DueSession(*row) for row in rows]
