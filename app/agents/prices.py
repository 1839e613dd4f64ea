"""Agents whose budgets bound a cost: what answers them must have prices."""

from typing import Any

from sqlalchemy import cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.agents.placeholders import find_placeholders
from app.catalog.model_profiles import check_prices
from app.db.models import Agent
from app.errors import faults_within
from app.flows.library.chat import KEY
from app.settings import LlmSettings
from app.wire.budget import Budget
from app.wire.thread_requests import StartAgentThreadRequest


def needs_prices(flow: str, profile: str | None, budget: Budget | None) -> bool:
    """Whether what answers an agent must have prices, and is known before the launch."""
    known = not list(find_placeholders(profile))
    return flow == KEY and known and budget is not None and budget.bounds_cost


async def check_agent_prices(
    db: AsyncSession, org_id: str, template: StartAgentThreadRequest, llm: LlmSettings
) -> None:
    """Refuses a template that bounds the cost of a model without prices.

    Raises:
        BadRequestError: it does; the text names the Provider, and says where prices are put.
    """
    if needs_prices(template.flow, template.model_profile, template.budget):
        with faults_within("request_template"):
            await check_prices(db, org_id, template.model_profile, llm)


async def agents_in_need_of_prices(db: AsyncSession, org_id: str, provider: str) -> list[str]:
    """The names of agents that bound the cost of a Provider."""
    template: Any = cast(Agent.request_template, JSONB)
    query = select(Agent.name, Agent.request_template).where(
        Agent.org_id == org_id,
        Agent.flow == KEY,
        template["model_profile"].astext == provider,
        template.has_key("budget"),
    )
    rows = (await db.exec(query.order_by(col(Agent.name)))).all()
    return [
        name
        for name, stored in rows
        if stored["budget"] and Budget.model_validate(stored["budget"]).bounds_cost
    ]
