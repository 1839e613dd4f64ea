"""What models took, summed by day, agent, user or Provider."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller, KeyScope
from app.errors import BadRequestError
from app.kit.paging import cut_page, decode_key, encode_token
from app.wire.messages import AgentUsage, WireModel


class UsageBy(StrEnum):
    """What usage is summed by."""

    DAY = "day"
    AGENT = "agent"
    USER = "user"
    PROVIDER = "provider"


class UsageItem(AgentUsage):
    """What the requests of one day, agent, user or Provider took together."""

    key: str = Field(
        description="The day (UTC), the id of the agent or user, or the Provider's name; empty "
        "where no agent was launched.",
        examples=["2026-01-31"],
    )
    name: str | None = Field(description="The agent's name, or the user's e-mail address.")


class UsageReport(WireModel):
    """One page of sums, ordered by key."""

    items: list[UsageItem]
    next_token: str | None = Field(
        None, description="Send it as `page_token` for the next page; null: this was the last"
    )


# Of an agent that was deleted the id is known still.
REPORT = """
SELECT c.key, max(coalesce(a.name, w.email)) AS name, sum(c.requests)::bigint AS requests,
  sum(c.input_tokens)::bigint AS input_tokens, sum(c.output_tokens)::bigint AS output_tokens,
  sum(c.cached_tokens)::bigint AS cached_tokens,
  coalesce(json_object_agg(c.currency, c.cost) FILTER (WHERE c.currency IS NOT NULL), '{}') AS cost
FROM (
  SELECT coalesce(CASE $2::text
      WHEN 'agent' THEN u.agent_id WHEN 'user' THEN u.user_id WHEN 'provider' THEN u.provider
      ELSE to_char(u.created AT TIME ZONE 'UTC', 'YYYY-MM-DD') END, '') AS key,
    u.currency, count(*) AS requests, sum(u.input_tokens) AS input_tokens,
    sum(u.output_tokens) AS output_tokens, sum(u.cached_tokens) AS cached_tokens,
    trim_scale(sum(u.cost))::text AS cost
  FROM model_usage u
  WHERE u.org_id = $1 AND ($3::text IS NULL OR u.user_id = $3)
    AND ($4::text IS NULL OR u.agent_id = $4
      OR u.agent_id IN (SELECT n.id FROM agent n WHERE n.org_id = $1 AND n.name = $4))
    AND ($5::timestamptz IS NULL OR u.created >= $5)
    AND ($6::timestamptz IS NULL OR u.created < $6)
  GROUP BY 1, 2) c
LEFT JOIN agent a ON $2 = 'agent' AND a.org_id = $1 AND a.id = c.key
LEFT JOIN "user" w ON $2 = 'user' AND w.org_id = $1 AND w.id = c.key
WHERE $7::text IS NULL OR c.key > $7
GROUP BY c.key ORDER BY c.key LIMIT $8"""


async def usage_report(
    db: AsyncSession,
    caller: Caller,
    by: UsageBy,
    *,
    agent: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    page_token: str | None,
) -> UsageReport:
    """What the caller may know of: admins all of the org's, others what their own sessions took.

    Args:
        db: the transaction.
        caller: who asks.
        by: what is summed by.
        agent: name or id of the only agent to look at.
        start: of the span of time.
        end: the first moment behind it.
        limit: most items.
        page_token: of the page; none for the first.

    Raises:
        BadRequestError: the span ends before it starts.
        PageTokenError: the token is none of ours.
    """
    if start is not None and end is not None and end < start:
        detail = "The span of time ends, at `to`, before it starts, at `from`."
        raise BadRequestError(detail, errors=[{"loc": ["query", "to"], "msg": detail}])
    user = None if KeyScope.ADMIN in caller.scopes else caller.user_id
    after = decode_key(page_token) if page_token else None
    arguments = (caller.org_id, by, user, agent, start, end, after, limit + 1)
    rows = (await (await db.connection()).exec_driver_sql(REPORT, arguments)).mappings().all()
    page, token = cut_page(rows, limit, lambda last: encode_token(last["key"]))
    items = [UsageItem.model_validate(dict(row)) for row in page]
    return UsageReport(items=items, next_token=token)
