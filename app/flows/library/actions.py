"""What the decision about an action leads to, and calls whose outcome nobody knows: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from app.enums import ActionDecision, ActionExpiry, ActionKind, ActionStatus
from app.errors import ConflictError
from app.flows.library.asking import PendingAction
from app.flows.library.tool_use import (
    OfferedTool,
    OpenCall,
    ToolUse,
    TurnOutcome,
    after_calls,
    after_interruption,
    after_results,
    next_of,
    runnable,
)
from app.flows.move import ClosedAction, OpenedAction
from app.invokers.tool import ToolResult, ToolStatus

# What may be decided about an action. Of a call whose outcome is not known: to make it again, to
# say what it gave back, or to give up.
DECISIONS: dict[ActionKind, tuple[ActionDecision, ...]] = {
    ActionKind.APPROVAL: (ActionDecision.APPROVE, ActionDecision.DENY),
    ActionKind.CLIENT_TOOL: (ActionDecision.ANSWER, ActionDecision.DENY),
    ActionKind.UNKNOWN_OUTCOME: (
        ActionDecision.APPROVE,
        ActionDecision.ANSWER,
        ActionDecision.DENY,
    ),
    ActionKind.INPUT: (ActionDecision.ANSWER, ActionDecision.DENY),
    ActionKind.BUDGET: (ActionDecision.APPROVE, ActionDecision.DENY),
}

_DENIED = "A person denied the call."
_GIVEN_UP = "Whether the call was made is not known, and it is not made again."
_NOT_ANSWERED = "Nobody answered in time, so the call was given up."
_NOT_APPROVED = "Nobody approved the call in time."


class Resolution(BaseModel):
    """What was decided about an action; None where its time is up.

    Attributes:
        arguments: in place of the call's own, where it is approved.
        message: of the person who decided, for the model to read.
        result: what the call gave back, or a person, where that is the answer.
    """

    action_id: str
    decision: ActionDecision | None = None
    arguments: dict[str, Any] | None = None
    message: str | None = None
    result: Any = None

    @property
    def stored(self) -> dict[str, Any]:
        """The resolution as it is kept with the action."""
        return self.model_dump(mode="json", exclude={"action_id"})


class ActionNotOpenError(ConflictError):
    """The turn does not wait for the action any more."""

    code = "action-not-open"
    title = "Action not open"


def after_server_calls(
    tool_use: ToolUse, results: Sequence[ToolResult], tools: Mapping[str, OfferedTool]
) -> TurnOutcome:
    """What the service's own calls lead to.

    Where nobody knows whether a call was made, it stays open, and people are asked; but where the
    turn ends, it ends.
    """
    ended = {result.tool_use_id for result in results}
    unknown = {r.tool_use_id for r in results if r.status is ToolStatus.UNKNOWN}
    if not unknown or {call.id for call in runnable(tool_use.open)} - ended:
        return after_calls(tool_use, results)
    calls: list[OpenCall] = []
    opened: list[OpenedAction] = []
    for call in tool_use.open:
        if call.id in unknown:
            asking, action = call.asks(ActionKind.UNKNOWN_OUTCOME, tools[call.name])
            calls.append(asking)
            opened.append(action)
        else:
            calls.append(call)
    known = [result for result in results if result.tool_use_id not in unknown]
    outcome = after_results(tool_use.model_copy(update={"open": calls}), known)
    return replace(outcome, actions=[*opened, *outcome.actions])


def after_resolution(tool_use: ToolUse, resolution: Resolution) -> TurnOutcome:
    """What a decision leads to, or the end of the time for one.

    Raises:
        ActionNotOpenError: no open call waits for the action.
    """
    call, action = _waiting(tool_use, resolution.action_id)
    match resolution.decision:
        case None:
            return _after_expiry(tool_use, call, action)
        case ActionDecision.APPROVE:
            return _after_approval(tool_use, call, resolution)
        case ActionDecision.DENY:
            denied = _denial(call, action, resolution.message)
            return after_results(tool_use, [denied], ActionStatus.DENIED, resolution.stored)
        case ActionDecision.ANSWER:
            answer = _answer(call, resolution)
            return after_results(tool_use, [answer], ActionStatus.ANSWERED, resolution.stored)


def _waiting(tool_use: ToolUse, action_id: str) -> tuple[OpenCall, PendingAction]:
    for call in tool_use.open:
        if call.action is not None and call.action.id == action_id:
            return call, call.action
    raise ActionNotOpenError("Nothing waits for this action any more.")


def _after_approval(tool_use: ToolUse, call: OpenCall, resolution: Resolution) -> TurnOutcome:
    """The call runs, or runs again, once no client has to be waited for."""
    changes: dict[str, Any] = {"action": None}
    if resolution.arguments is not None:
        changed = resolution.arguments != call.arguments
        changes |= {"arguments": resolution.arguments, "is_changed": changed}
    approved = call.model_copy(update=changes)
    calls = [approved if other is call else other for other in tool_use.open]
    closed = call.closes(ActionStatus.APPROVED, resolution.stored)
    waiting = tool_use.model_copy(update={"open": calls})
    return TurnOutcome(next_of(calls), waiting, actions=[*closed])


def _answer(call: OpenCall, resolution: Resolution) -> ToolResult:
    return ToolResult(tool_use_id=call.id, status=ToolStatus.SUCCESS, payload=resolution.result)


def _denial(call: OpenCall, action: PendingAction, message: str | None) -> ToolResult:
    if action.kind is ActionKind.UNKNOWN_OUTCOME:
        return ToolResult.failed(call.id, _with(_GIVEN_UP, message))
    return _declined(call, _with(_DENIED, message))


def _after_expiry(tool_use: ToolUse, call: OpenCall, action: PendingAction) -> TurnOutcome:
    match action.on_expiry:
        case ActionExpiry.DENY:
            late = _declined(call, _NOT_APPROVED)
            return after_results(tool_use, [late], ActionStatus.EXPIRED)
        case ActionExpiry.FAIL:
            late = call.ended(_NOT_ANSWERED)
            return after_results(tool_use, [late], ActionStatus.EXPIRED)
        case ActionExpiry.CANCEL:
            return _cancelled(tool_use, action)


def _cancelled(tool_use: ToolUse, late: PendingAction) -> TurnOutcome:
    """The end of a turn in which an action, of maybe many, was not resolved in time."""
    outcome = after_interruption(tool_use, "The turn ended: nobody answered in time.")
    closed = [
        replace(end, status=ActionStatus.EXPIRED) if end.id == late.id else end
        for end in outcome.actions
        if isinstance(end, ClosedAction)
    ]
    return replace(outcome, actions=[*closed])


def _declined(call: OpenCall, reason: str) -> ToolResult:
    return ToolResult(tool_use_id=call.id, status=ToolStatus.DECLINED, payload={"error": reason})


def _with(reason: str, message: str | None) -> str:
    return f"{reason} {message}" if message else reason
