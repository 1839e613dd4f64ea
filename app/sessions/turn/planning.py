"""The steps that an invocation starts with, and those that follow one that ended."""

from app.enums import StepKind
from app.flows.graph import DEFAULT_QUEUE, Graph, PlannedStep, StepPlan, StepScope
from app.flows.template import Invoke
from app.kit.ids import new_id
from app.sessions.store.new_rows import NewStep


def new_steps(
    graph: Graph,
    plan: StepPlan,
    invocation_id: str,
    parents: dict[str, str],
    max_attempts: int,
) -> list[NewStep]:
    """The steps of a plan. `parents` maps the paths of composites that are there to their ids.

    A plan with nothing to run becomes one step that carries its result: a worker ends it.
    """
    done = PlannedStep("", StepKind.LEAF, DEFAULT_QUEUE, StepScope(), result=plan.result)
    planned = plan.steps or [done]
    ids = dict(parents)
    steps = []
    for step in planned:
        ids[step.path] = new_id("stp")
        attempts = max_attempts
        if step.kind is StepKind.LEAF and step.result is None:
            attempts = _attempts(graph, step.path, max_attempts)
        parent = ids.get(step.path.rpartition("/")[0]) if step.path else None
        steps.append(NewStep(ids[step.path], invocation_id, parent, step, attempts))
    return steps


def _attempts(graph: Graph, path: str, default: int) -> int:
    node, _ = graph.find(path)
    most = node.maximum_attempts if isinstance(node, Invoke) else None
    return default if most is None else most
