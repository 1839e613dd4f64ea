"""From a finished step up the step graph: what starts next, or the whole invocation's result."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace

from app.flows.graph import Graph
from app.kit.batch import Batch
from app.sessions.store.change import NewStep, ready
from app.sessions.store.claim import Claim, Composite
from app.sessions.store.store import ChildResult, SessionStore
from app.sessions.turn.transition import step_rows
from app.settings import StepSettings


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step led to that is not the invocation's end; it is written.

    Attributes:
        published: steps that are due now, as (step id, queue).
        mine: one of those that started, claimed already.
    """

    published: list[tuple[str, str]] = field(default_factory=list)
    mine: Claim | None = None


@dataclass(slots=True)
class Ascent:
    """How far the result of a step has risen: it stands at `path` as `value`.

    Attributes:
        graph: makes the invocation's step graph; asked only where its templates are needed.
        done: what it completed, as (id of a composite, its result).
        to_come: how many steps the chain in which it ends needs after those that start now.
    """

    claim: Claim
    graph: Callable[[], Awaitable[Graph]]
    path: str
    value: str
    done: list[tuple[str, str]] = field(default_factory=list)
    to_come: int = 0


class StepCompletion:
    """Carries the results of claimed steps upward.

    Args:
        queues: those that this worker serves.
    """

    def __init__(
        self, store: SessionStore, queues: Collection[str], settings: StepSettings
    ) -> None:
        self._store = store
        self._queues = queues
        self._settings = settings
        # The steps of one map often end together.
        self._counts = Batch(store.count)

    async def finish(
        self, claim: Claim, result: str, graph: Callable[[], Awaitable[Graph]]
    ) -> str | Progress | None:
        """Write a step's result, unless the whole invocation ends with it.

        Returns:
            The invocation's result, to be written by the caller; or what it led to, written
            already; or None: the step is not ours any more.
        """
        known = {claim.parent.path: claim.parent} if claim.parent is not None else {}
        while True:
            ascent = Ascent(claim, graph, claim.path, result)
            while ascent.path:
                above = ascent.path.rpartition("/")[0]
                if above not in known:
                    known = await self._store.composites(claim.invocation_id)
                parent = known.get(above)
                if parent is None:
                    return None
                started = await self._complete_parent(ascent, parent, known)
                if started is None:
                    continue
                if await self._write(ascent, result, parent, started):
                    return _progress(claim, started, parent)
                break
            else:
                return ascent.value
            # A sibling finished meanwhile, so that this one may be the last now; or it is lost.
            held = (claim.step_id, claim.attempt)
            if not await self._store.renew([held], self._settings.lease_seconds):
                return None
            known = {}

    async def _complete_parent(
        self, ascent: Ascent, parent: Composite, known: dict[str, Composite]
    ) -> list[NewStep] | None:
        """Rise above `parent` if that ends it (None); else the steps that start now in it."""
        if parent.kind == "chain":
            graph = await ascent.graph()
            plan = graph.follow(parent.path, ascent.path, parent.scope, ascent.value)
            if plan.result is None:
                ascent.to_come = plan.to_come
                ids = {path: composite.id for path, composite in known.items()}
                invocation_id = ascent.claim.invocation_id
                rows = step_rows(graph, plan, invocation_id, ids, self._settings.max_attempts)
                self._claim_one(rows)
                return rows
            ascent.value = plan.result
        elif parent.remaining > 1:
            return []
        else:
            results = await self._store.results(parent.id)
            whole = results | {ascent.path: ascent.value}
            ascent.value = (await ascent.graph()).assemble(parent.path, whole)
        ascent.done.append((parent.id, ascent.value))
        ascent.path = parent.path
        return None

    def _claim_one(self, rows: list[NewStep]) -> None:
        """Claim the first that this worker can run as it is written: no bell, no second write."""
        for row in rows:
            if row.status == "queued" and row.planned.queue in self._queues:
                row.lease = self._settings.lease_seconds
                return

    async def _write(
        self, ascent: Ascent, result: str, parent: Composite, started: list[NewStep]
    ) -> bool:
        claim = ascent.claim
        if not started and not ascent.done:
            return await self._counts(ChildResult(claim.step_id, claim.attempt, result, parent.id))
        return await self._store.advance(
            claim,
            result,
            parent_id=parent.id,
            to_come=ascent.to_come,
            composites=ascent.done,
            steps=started,
        )


def _progress(claim: Claim, started: list[NewStep], parent: Composite) -> Progress:
    mine = next((row for row in started if row.lease is not None), None)
    if mine is None:
        return Progress(ready(started))
    above = {row.id: Composite.of(row) for row in started if row.planned.kind != "leaf"}
    claimed = replace(
        claim,
        step_id=mine.id,
        path=mine.planned.path,
        parent=above.get(mine.parent_id or "", parent),
        attempt=1,
        max_attempts=mine.max_attempts,
        scope=mine.planned.scope,
        result=None,
    )
    return Progress(ready(started), claimed)
