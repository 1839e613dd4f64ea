"""What an outcome of a turn does to the turn's goals: pure functions."""

from collections.abc import Iterable
from dataclasses import replace

from app.flows.library.tool_use import Next, TurnOutcome
from app.goals.turn import GoalProgress
from app.invokers.invoker import ToolCall
from app.invokers.tool import ToolResult, ToolStatus

_ACHIEVED = {"result": "The goal is achieved."}


def goal_results(progress: GoalProgress, calls: Iterable[ToolCall]) -> dict[str, ToolResult]:
    """The results of those calls that are of goals' tools, by call."""
    of_goals = [call for call in calls if progress.call(call.id, call.name, call.arguments)]
    return {call.id: _result(call.id, progress.results[call.id]) for call in of_goals}


def with_goals(outcome: TurnOutcome, progress: GoalProgress, *, may_remind: bool) -> TurnOutcome:
    """The outcome, where goals are open: a turn that is over has not achieved them.

    Args:
        outcome: without regard to goals.
        progress: the turn's goals; what follows for them is put down in it.
        may_remind: whether the model may be asked again.
    """
    if outcome.next is not Next.USER or not progress.turn.open:
        return outcome
    if may_remind and progress.remind():
        return replace(outcome, next=Next.MODEL)
    progress.fail()
    return replace(outcome, next=Next.NOBODY)


def _result(call_id: str, fault: str | None) -> ToolResult:
    if fault is not None:
        return ToolResult.failed(call_id, fault)
    return ToolResult(tool_use_id=call_id, status=ToolStatus.SUCCESS, payload=_ACHIEVED)
