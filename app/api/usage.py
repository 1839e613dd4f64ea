"""`/v1/ai/usage`: what models took, and what it cost."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ListDb, PageSize, PageToken, Reader
from app.api.http.route import ApiRoute
from app.api.schemas import Data
from app.kit.moment import Moment
from app.usage.report import UsageBy, UsageReport, usage_report

router = APIRouter(prefix="/v1/ai/usage", tags=["usage"], route_class=ApiRoute)


@router.get("")
async def get(
    *,
    caller: Reader,
    db: ListDb,
    by: Annotated[UsageBy, Query(description="What to sum by.")] = UsageBy.DAY,
    from_: Annotated[
        Moment | None, Query(alias="from", description="From this moment on; none: all before.")
    ] = None,
    to: Annotated[Moment | None, Query(description="Before this moment; none: until now.")] = None,
    agent: Annotated[
        str | None, Query(max_length=200, description="Only of this agent, by name or id.")
    ] = None,
    page_token: PageToken = None,
    limit: PageSize = 50,
) -> Data[UsageReport]:
    """Sum the tokens and costs of requests to models: an admin the org's, others their own."""
    report = await usage_report(
        db,
        caller,
        by,
        agent=agent,
        start=from_,
        end=to,
        limit=limit,
        page_token=page_token,
    )
    return Data(data=report)
