"""Budgets of threads: raising one, and prices that a bound of the cost needs."""

from decimal import Decimal

from app.access.caller import Caller
from app.catalog.model_profiles import check_profile_prices
from app.enums import ActionDecision
from app.errors import BadRequestError, FieldError
from app.flows.library.chat import KEY
from app.invokers.llm import BUILT_IN_PROFILES, is_free
from app.sessions.runtime import Runtime
from app.sessions.store.budgets import is_used_up
from app.sessions.store.snapshot import StoredAction
from app.wire.actions import ResolveActionRequest
from app.wire.budget import Budget


async def check_prices(
    runtime: Runtime, caller: Caller, flow: str, model_profile: str | None, budget: Budget | None
) -> None:
    """Refuses a bound of the cost of a model without prices; other flows name theirs inside.

    Raises:
        BadRequestError: the budget bounds the cost, and what answers has no prices.
    """
    if budget is None or not budget.bounds_cost or flow != KEY:
        return
    profile = model_profile or "default"
    if not is_free(BUILT_IN_PROFILES.get(profile, profile), runtime.settings.llm):
        async with runtime.database.transaction() as db:
            await check_profile_prices(db, caller.org_id, profile)


def bounds_steps(*budgets: Budget | None) -> bool:
    """Whether one of the budgets says how many requests a turn may make."""
    turns = (budget.turn for budget in budgets if budget is not None)
    return any(turn is not None and turn.max_steps is not None for turn in turns)


async def check_raise(
    runtime: Runtime, action: StoredAction, request: ResolveActionRequest
) -> None:
    """Refuses a decision about a budget that would lead to the same question again.

    Without a new limit the turn goes on where the budget has room again: where another turn had it
    raised, or another day began.

    Raises:
        BadRequestError: the new limit is missing, or does not exceed what was used.
    """
    if request.decision is not ActionDecision.APPROVE:
        return
    [(bound, limit)] = action.columns["arguments"]["limit"].items()
    if request.arguments is None:
        if await is_used_up(runtime.database.pool, action.session):
            raise _bad(f'The budget is used up: say the new limit, as {{"{bound}": …}}.', [])
        return
    used = Decimal(str(action.columns["arguments"]["used"]))
    if Decimal(str(request.arguments[bound])) <= used:
        raise _bad(f"The new limit must be over {used:f}, which is used; it was {limit}.", [bound])


def _bad(detail: str, place: list[str | int]) -> BadRequestError:
    fault: FieldError = {"loc": ["body", "arguments", *place], "msg": detail}
    return BadRequestError(detail, errors=[fault])
