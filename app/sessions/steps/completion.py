"""The way up the step graph from a finished step: what starts next, or the invocation's result."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from app.db.models import StepStatus
from app.enums import StepKind
from app.flows.graph import Graph
from app.invokers.invoker import Answer, Finish
from app.kit.concurrency.batch import Batch
from app.sessions.store.claim import Claim, Composite
from app.sessions.store.new_rows import DueStep, NewStep, StepFence, due_steps
from app.sessions.store.outcome import Superseded
from app.sessions.store.step_store import ChildResult
from app.sessions.turn.planning import plan_steps


@dataclass(frozen=True, slots=True)
class InvocationEnds:
    """The step was the last one: this is the invocation's result, to be written by the caller."""

    result: Answer


@dataclass(frozen=True, slots=True)
class InvocationContinues:
    """The result is written, and the invocation goes on.

    Attributes:
        due: steps that any worker may take now.
        claimed: one that started, claimed already for this worker.
    """

    due: list[DueStep] = field(default_factory=list)
    claimed: Claim | None = None


@dataclass(frozen=True, slots=True)
class _CompositeEnds:
    """A composite is done with what it was given, which stands for its own result now."""


@dataclass(frozen=True, slots=True)
class _CompositeContinues:
    """A composite waits for others, or for the steps that start now in it."""

    composite: Composite
    started: list[NewStep] = field(default_factory=list)


class StepRows(Protocol):
    """The rows of an invocation's steps, as `SessionStore` keeps them."""

    async def composites(self, invocation_id: str) -> dict[str, Composite]:
        """The open composites, by path."""

    async def results(self, composite_id: str) -> dict[str, str]:
        """The results of a composite's children that are done, by path."""

    async def renew(self, held: Sequence[StepFence], lease: float) -> dict[str, bool]:
        """Renews leases; the ids of the steps that are still ours, False where a row is locked."""

    async def count(self, results: list[ChildResult]) -> list[bool]:
        """Writes results after which their parallels and maps go on; whether each was written."""

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
        """Writes the result of a step after which the invocation goes on."""


@dataclass(slots=True)
class _Progress:
    """How far up the step graph the answer of a step is: it stands at `path` as `value`.

    Attributes:
        graph: makes the invocation's step graph; asked only where its templates are needed.
        done: what it completed, as (id of a composite, its result).
        to_come: how many steps the chain in which it ends needs after those that start now.
    """

    claim: Claim
    graph: Callable[[], Awaitable[Graph]]
    path: str
    value: Answer
    done: list[tuple[str, str]] = field(default_factory=list)
    to_come: int = 0

    @property
    def cut(self) -> bool:
        """Whether an answer that it was made of is cut."""
        return self.value.finish is Finish.LENGTH


class StepCompletion:
    """Carries the results of claimed steps upward.

    Args:
        rows: the steps.
        queues: those that this worker serves.
        lease: seconds for which a step that starts is claimed.
        max_attempts: of a step whose template does not say.
    """

    def __init__(
        self, rows: StepRows, queues: Collection[str], *, lease: float, max_attempts: int
    ) -> None:
        self._rows = rows
        self._queues = queues
        self._lease = lease
        self._max_attempts = max_attempts
        # The steps of one map often end together.
        self._counts = Batch(rows.count)

    async def finish(
        self, claim: Claim, answer: Answer, graph: Callable[[], Awaitable[Graph]]
    ) -> InvocationEnds | InvocationContinues | Superseded:
        """Writes a step's answer, unless the whole invocation ends with it."""
        known = {claim.parent.path: claim.parent} if claim.parent is not None else {}
        while True:
            progress = _Progress(claim, graph, claim.path, answer)
            reached = await self._carry_up(progress, known)
            if not isinstance(reached, _CompositeContinues):
                return reached
            if await self._write(progress, answer.text, reached):
                parent = replace(reached.composite, cut=progress.cut)
                return _continues(claim, reached.started, parent)
            # A sibling finished meanwhile, so that this one may be the last now; or it is lost.
            if not await self._rows.renew([claim.fence], self._lease):
                return Superseded()
            known = {}

    async def _carry_up(
        self, progress: _Progress, known: dict[str, Composite]
    ) -> InvocationEnds | _CompositeContinues | Superseded:
        """Carries an answer up to the composite that goes on, or to the end of the invocation."""
        while progress.path:
            above = progress.path.rpartition("/")[0]
            if above not in known:
                known = await self._rows.composites(progress.claim.invocation_id)
            parent = known.get(above)
            if parent is None:
                return Superseded()
            outcome = await self._complete_parent(progress, parent, known)
            if isinstance(outcome, _CompositeContinues):
                return outcome
        return InvocationEnds(progress.value)

    async def _complete_parent(
        self, progress: _Progress, parent: Composite, known: dict[str, Composite]
    ) -> _CompositeEnds | _CompositeContinues:
        """Goes on above `parent` if that ends it."""
        if parent.cut:
            progress.value = replace(progress.value, finish=Finish.LENGTH)
        if parent.kind is StepKind.CHAIN:
            graph = await progress.graph()
            plan, steps = await plan_steps(
                graph,
                partial(
                    graph.follow, parent.path, progress.path, parent.scope, progress.value.text
                ),
                progress.claim.invocation_id,
                known,
                self._max_attempts,
            )
            if plan.result is None:
                progress.to_come = plan.to_come
                self._claim_one(steps)
                return _CompositeContinues(parent, steps)
            progress.value = replace(progress.value, text=plan.result)
        elif parent.remaining > 1:
            return _CompositeContinues(parent)
        else:
            results = await self._rows.results(parent.id)
            whole = results | {progress.path: progress.value.text}
            graph = await progress.graph()
            # Each is parsed and written out again.
            text = await asyncio.to_thread(graph.assemble, parent.path, whole)
            progress.value = Answer(text, progress.value.finish)
        progress.done.append((parent.id, progress.value.text))
        progress.path = parent.path
        return _CompositeEnds()

    def _claim_one(self, steps: list[NewStep]) -> None:
        """Claims the first that this worker can run as it is written: no second write."""
        for step in steps:
            if step.status is StepStatus.QUEUED and step.planned.queue in self._queues:
                step.lease = self._lease
                return

    async def _write(self, progress: _Progress, result: str, reached: _CompositeContinues) -> bool:
        claim, parent, started = progress.claim, reached.composite, reached.started
        if not started and not progress.done:
            return await self._counts(ChildResult(*claim.fence, result, parent.id, progress.cut))
        return await self._rows.advance(
            claim,
            result,
            parent_id=parent.id,
            to_come=progress.to_come,
            cut=progress.cut,
            composites=progress.done,
            steps=started,
        )


def _continues(claim: Claim, started: list[NewStep], parent: Composite) -> InvocationContinues:
    own = next((step for step in started if step.lease is not None), None)
    if own is None:
        return InvocationContinues(due_steps(started, claim.session.org_id))
    above = {step.id: Composite.of(step) for step in started if step.is_composite}
    claimed = replace(
        claim,
        step_id=own.id,
        queue=own.planned.queue,
        path=own.planned.path,
        parent=above.get(own.parent_id or "", parent),
        attempt=1,
        failures=0,
        losses=0,
        lost_workers=0,
        max_attempts=own.max_attempts,
        scope=own.planned.scope,
        result=None,
        waits_for=None,
    )
    return InvocationContinues(due_steps(started, claim.session.org_id), claimed)
