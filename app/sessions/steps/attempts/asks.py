"""A step that asks a person: what it opens, and what it makes of how that ended."""

from collections.abc import Awaitable, Callable

from app.enums import ActionExpiry, ActionKind, ActionStatus
from app.flows.library.asking import DEFAULT_SECONDS
from app.flows.library.budget_action import BUDGET_APPROVERS
from app.flows.rendering.jinja import storable
from app.flows.template import Ask
from app.invokers.invoker import InvokerError
from app.kit.ids import derived_id, new_id
from app.sessions.store.asks import AskOutcome, AskStore, NewAsk
from app.sessions.store.budgets import BudgetExceededError
from app.sessions.store.claim import Claim
from app.wire.messages import ErrorCode

MAX_QUESTION_CHARS = 10_000

_LATE = "Nobody answered in time."


class NotAnsweredError(InvokerError):
    """What a step asked was denied, or not answered in time.

    Attributes:
        code: which of the two.
        cancels: the invocation is not failed, but cancelled.
    """

    def __init__(self, text: str, code: ErrorCode, *, cancels: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.cancels = cancels


async def ask_person(
    asks: AskStore, claim: Claim, node: Ask, render: Callable[[str], Awaitable[str]]
) -> NewAsk:
    """What the step asks; a step that was answered has its result, and does not come here.

    Args:
        asks: of the database.
        claim: the step.
        node: its template.
        render: renders a text as the step sees it.

    Raises:
        NotAnsweredError: it was asked, and that ended without an answer.
        InvokerError: the question is too long.
    """
    if claim.waits_for is not None and (outcome := await asks.outcome(claim.waits_for)):
        _check_open(outcome)
    question = storable(await render(node.message))
    if len(question) > MAX_QUESTION_CHARS:
        raise InvokerError(
            f"The message of the ask is longer than {MAX_QUESTION_CHARS} characters."
        )
    return NewAsk(
        id=derived_id("act", claim.step_id, claim.invocation_id),
        question=question,
        answer_schema=node.schema,
        seconds=DEFAULT_SECONDS if node.expires is None else node.expires,
        on_expiry=node.on_expiry,
        approvers=node.approvers,
    )


async def ask_for_raise(asks: AskStore, claim: Claim, error: BudgetExceededError) -> NewAsk:
    """What the step asks whose request would pass a budget; where it is raised, it goes on.

    Raises:
        BudgetExceededError: that was denied, or not decided in time.
    """
    outcome = None if claim.waits_for is None else await asks.outcome(claim.waits_for)
    status = None if outcome is None else outcome.status
    if status in (ActionStatus.DENIED, ActionStatus.EXPIRED):
        raise error
    used_up = error.used_up
    return NewAsk(
        id=claim.waits_for if claim.waits_for and status is ActionStatus.OPEN else new_id("act"),
        question=used_up.question,
        answer_schema=used_up.answer_schema(),
        seconds=DEFAULT_SECONDS,
        on_expiry=ActionExpiry.FAIL,
        approvers=BUDGET_APPROVERS.get(used_up.scope),
        kind=ActionKind.BUDGET,
        arguments=used_up.shown(),
    )


def _check_open(outcome: AskOutcome) -> None:
    match outcome.status:
        case ActionStatus.DENIED:
            said = f": {outcome.message}" if outcome.message else "."
            text = f"{outcome.by or 'Somebody'} denied the answer{said}"
            raise NotAnsweredError(text, ErrorCode.ACTION_DENIED)
        case ActionStatus.EXPIRED:
            cancels = outcome.on_expiry is ActionExpiry.CANCEL
            raise NotAnsweredError(_LATE, ErrorCode.ACTION_EXPIRED, cancels=cancels)
        case ActionStatus.OPEN | ActionStatus.APPROVED | ActionStatus.ANSWERED:
            return
        case ActionStatus.CANCELLED:  # with the invocation, whose step this is not any more
            return
