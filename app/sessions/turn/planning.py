"""The steps that an invocation starts with, and those that follow one that ended."""

import asyncio
from collections.abc import Callable, Mapping

from app.enums import StepKind
from app.flows.graph import DEFAULT_QUEUE, Graph, PlannedStep, StepPlan
from app.flows.scope import StepScope
from app.flows.template import Invoke
from app.kit.ids import new_id
from app.sessions.store.claim import Composite
from app.sessions.store.new_rows import NewStep
from app.sizes.limit import SizeLimit


async def plan_steps(
    graph: Graph,
    plan: Callable[[], StepPlan],
    invocation_id: str,
    above: Mapping[str, Composite],
    max_attempts: int,
) -> tuple[StepPlan, list[NewStep]]:
    """What `plan` plans, and its steps; in a thread, where JMESPaths say what there is to do.

    The others are as in `new_steps`.

    Raises:
        PathError: a JMESPath fails, or all of them take too long.
        TooManyStepsError: there are too many.
        SizeLimitError: what is to be stored of them is too much.
    """

    def make() -> tuple[StepPlan, list[NewStep]]:
        planned = plan()
        if above and planned.result is not None:  # the chain that would go on ends
            return planned, []
        return planned, new_steps(graph, planned, invocation_id, above, max_attempts)

    return await asyncio.to_thread(make) if graph.selects else make()


def new_steps(
    graph: Graph,
    plan: StepPlan,
    invocation_id: str,
    above: Mapping[str, Composite],
    max_attempts: int,
) -> list[NewStep]:
    """The steps of a plan. `above` has the composites that are there, by path.

    A plan with nothing to run becomes one step that carries its result: a worker ends it.

    Raises:
        SizeLimitError: what is to be stored of them is too much.
    """
    done = PlannedStep("", StepKind.LEAF, DEFAULT_QUEUE, StepScope(), result=plan.result)
    composites = dict(above)
    limit = SizeLimit("The steps that start at once")
    steps = []
    for step in plan.steps or [done]:
        attempts = max_attempts
        if step.kind is StepKind.LEAF and step.result is None:
            attempts = _attempts(graph, step.path, max_attempts)
        parent = composites.get(step.path.rpartition("/")[0]) if step.path else None
        parent_id, outer = (parent.id, parent.scope) if parent else (None, StepScope())
        new = NewStep(new_id("stp"), invocation_id, parent_id, step, attempts, outer)
        limit.add(new.size)
        if new.is_composite:
            composites[step.path] = Composite.of(new)
        steps.append(new)
    return steps


def _attempts(graph: Graph, path: str, default: int) -> int:
    node, _ = graph.find(path)
    most = node.maximum_attempts if isinstance(node, Invoke) else None
    return default if most is None else most
