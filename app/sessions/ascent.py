"""From a finished step up the step graph: what starts next, or the whole invocation's result."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg

from app.flows.graph import Graph
from app.sessions.change import StepRow
from app.sessions.claim import Claim, scope_of
from app.sessions.store import SessionStore
from app.sessions.transition import step_rows
from app.settings import StepSettings


@dataclass(slots=True)
class Ascent:
    """How far a result has risen: it stands at `path` as `value`; `done` is what it completed.

    `to_come` counts the steps that the chain in which it ends needs after those that start now.
    """

    path: str
    value: str
    done: list[tuple[str, str]] = field(default_factory=list)
    to_come: int = 0


class Climber:
    """Carries the result of one claimed step upward.

    Args:
        graph: makes the invocation's step graph; asked only where its templates are needed.
    """

    def __init__(
        self,
        store: SessionStore,
        claim: Claim,
        graph: Callable[[], Awaitable[Graph]],
        settings: StepSettings,
    ) -> None:
        self._store = store
        self._claim = claim
        self._graph = graph
        self._settings = settings

    async def climb(self, result: str) -> str | list[StepRow] | None:
        """Write the step's result, unless the whole invocation ends with it.

        Returns:
            The invocation's result, to be written by the caller; or the steps that start now,
            written already; or None: the step is not ours any more.
        """
        while True:
            ascent = Ascent(self._claim.path, result)
            composites = await self._store.composites(self._claim.invocation_id)
            while ascent.path:
                parent = composites.get(ascent.path.rpartition("/")[0])
                if parent is None:
                    return None
                started = await self._pass(ascent, parent, composites)
                if started is None:
                    continue
                if await self._write(ascent, result, parent, started):
                    return started
                break
            else:
                return ascent.value
            # A sibling finished meanwhile, so that this one may be the last now; or it is lost.
            held = (self._claim.step_id, self._claim.attempt)
            if not await self._store.renew([held], self._settings.lease_seconds):
                return None

    async def _pass(
        self, ascent: Ascent, parent: asyncpg.Record, composites: dict[str, asyncpg.Record]
    ) -> list[StepRow] | None:
        """Rise above `parent` if that ends it (None); else the steps that start now in it."""
        if parent["kind"] == "chain":
            graph = await self._graph()
            scope = scope_of(parent["input"])
            plan = graph.follow(parent["path"], ascent.path, scope, ascent.value)
            if plan.result is None:
                ascent.to_come = plan.to_come
                ids = {path: row["id"] for path, row in composites.items()}
                invocation_id = self._claim.invocation_id
                return step_rows(graph, plan, invocation_id, ids, self._settings.max_attempts)
            ascent.value = plan.result
        elif parent["remaining"] > 1:
            return []
        else:
            results = await self._store.results(parent["id"])
            whole = results | {ascent.path: ascent.value}
            ascent.value = (await self._graph()).assemble(parent["path"], whole)
        ascent.done.append((parent["id"], ascent.value))
        ascent.path = parent["path"]
        return None

    async def _write(
        self, ascent: Ascent, result: str, parent: asyncpg.Record, started: list[StepRow]
    ) -> bool:
        return await self._store.advance(
            self._claim,
            result,
            parent_id=parent["id"],
            to_come=ascent.to_come,
            composites=ascent.done,
            steps=started,
        )
