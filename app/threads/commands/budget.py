"""The budgets of a thread: one that bounds the cost needs the prices of what it bounds."""

from app.access.caller import Caller
from app.catalog.model_profiles import check_prices
from app.errors import faults_within
from app.flows.library.chat import KEY
from app.sessions.runtime import Runtime
from app.wire.budget import Budget


async def check_budget_prices(
    runtime: Runtime, caller: Caller, flow: str, model_profile: str | None, budget: Budget | None
) -> None:
    """Refuses a bound of the cost of a model without prices; other flows name theirs inside."""
    if flow == KEY and budget is not None and budget.bounds_cost:
        with faults_within("body"):
            async with runtime.database.transaction() as db:
                await check_prices(db, caller.org_id, model_profile, runtime.settings.llm)
