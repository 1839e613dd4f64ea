"""A turn whose budget is used up: it waits until somebody raises that, or ends: pure functions."""

from pydantic import BaseModel, ValidationError

from app.enums import (
    ActionDecision,
    ActionExpiry,
    ActionKind,
    ActionStatus,
    Approvers,
    BudgetScope,
    MessageRole,
)
from app.flows.library.actions import ActionNotOpenError, Resolution
from app.flows.library.asking import Asking
from app.flows.library.tool_use import Next, ToolUse, TurnOutcome
from app.flows.move import ClosedAction, OpenedAction, TurnMessage
from app.kit.ids import new_id
from app.wire.budget import UsedUpBudget
from app.wire.messages import ErrorCode, error_block

# Who raises a budget that others set. Their own may be raised by who started the session, too.
BUDGET_APPROVERS = {BudgetScope.AGENT: Approvers.SCOPE, BudgetScope.ACCOUNT: Approvers.ADMIN}


class UnaskedRequest(BaseModel):
    """The result of a step whose request was not made, since a budget is used up."""

    used_up: UsedUpBudget


class PendingBudget(BaseModel):
    """The action that a turn waits for, and what is said where the turn ends with it."""

    id: str
    text: str


def read_unasked(result: str) -> UsedUpBudget | None:
    """The budget that kept a request from being made; None where it was made and answered."""
    if not result.startswith('{"used_up":'):
        return None
    try:
        return UnaskedRequest.model_validate_json(result).used_up
    except ValidationError:
        return None


def ask_for_budget(used_up: UsedUpBudget, asking: Asking) -> tuple[TurnOutcome, PendingBudget]:
    """Asks whether the turn may take more."""
    action = OpenedAction(
        id=new_id("act"),
        kind=ActionKind.BUDGET,
        tool_call_id=None,
        name=None,
        arguments=used_up.shown(),
        answer_schema=used_up.answer_schema(),
        seconds=asking.seconds,
        on_expiry=ActionExpiry.CANCEL,
        approvers=BUDGET_APPROVERS.get(used_up.scope),
        question=used_up.question,
    )
    pending = PendingBudget(id=action.id, text=used_up.text)
    return TurnOutcome(Next.BUDGET, ToolUse(), actions=[action]), pending


def after_budget_resolution(pending: PendingBudget, resolution: Resolution) -> TurnOutcome:
    """What a decision leads to, or the end of the time for one: the request is made, or no more.

    Raises:
        ActionNotOpenError: the turn waits for another action.
    """
    if resolution.action_id != pending.id:
        raise ActionNotOpenError("Nothing waits for this action any more.")
    match resolution.decision:
        case ActionDecision.APPROVE:
            closed = ClosedAction(pending.id, ActionStatus.APPROVED, resolution.stored)
            return TurnOutcome(Next.MODEL, ToolUse(), actions=[closed])
        case None:
            closed = ClosedAction(pending.id, ActionStatus.EXPIRED)
        case _:
            closed = ClosedAction(pending.id, ActionStatus.DENIED, resolution.stored)
    reason = f"{pending.text} {resolution.message}" if resolution.message else pending.text
    blocks = [error_block(reason, ErrorCode.BUDGET_EXCEEDED)]
    message = TurnMessage(MessageRole.ASSISTANT, blocks, failed=True)
    return TurnOutcome(Next.USER, ToolUse(), [message], [closed])


def without_budget(pending: PendingBudget) -> TurnOutcome:
    """The end of a turn of which nobody decided whether it may take more."""
    closed = ClosedAction(pending.id, ActionStatus.CANCELLED)
    return TurnOutcome(Next.USER, ToolUse(), actions=[closed])
