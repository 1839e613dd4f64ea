"""Budgets of model requests: reserved before a request is made, settled when it is counted."""

from decimal import Decimal
from typing import Any

import asyncpg

from app.errors import PublicError
from app.sessions.store.claim import Claim
from app.sessions.store.limits import Budgets, Limit, Span


class BudgetExceededError(PublicError):
    """What the requests of a span took is all that they may take; the text says so."""

    def __init__(self, limit: Limit) -> None:
        span = limit.span.value.replace("_", "'s ")
        super().__init__(f"The budget of the {span} is used up: {limit.most:g} {limit.what}.")


class BudgetReservedError(Exception):
    """What is left of a budget is reserved for requests that run now: some may come back."""

    def __init__(self) -> None:
        super().__init__("What is left of a budget is reserved.")


# Whoever reserves waits for who is before: else both would take the same rest.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"

# $1 org, $2 session, $3 agent, $4 step, $5 whether other sessions count: what was taken and what is
# reserved, by span. A turn begins with what a client sends, but not with results of its tools, or a
# retry.
TAKEN = """
WITH today AS (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS start)
, turn AS (
  SELECT max(version) AS version FROM transition
  WHERE session_id = $2 AND cause LIKE 'event:%' AND event NOT IN ('submit_results', 'retry')
)
, request AS (
  SELECT u.session_id, u.session_version, u.agent_id, u.created,
    u.input_tokens + u.output_tokens AS tokens, 1 AS steps, u.seconds, u.cost, u.currency,
    0 AS reserved
  FROM model_usage u, today
  WHERE $5::bool AND u.org_id = $1 AND u.created >= today.start AND u.session_id <> $2
  UNION ALL
  SELECT u.session_id, u.session_version, u.agent_id, u.created,
    u.input_tokens + u.output_tokens, 1, u.seconds, u.cost, u.currency, 0
  FROM model_usage u WHERE u.session_id = $2
  UNION ALL
  SELECT r.session_id, r.session_version, r.agent_id, now(), r.tokens, 1, 0, r.cost, NULL, 1
  FROM budget_reservation r
  JOIN step t ON t.id = r.step_id AND t.attempt = r.attempt AND t.status = 'running'
  WHERE r.org_id = $1 AND r.step_id <> $4
)
, taken AS (
SELECT s.span, r.reserved, r.currency, sum(r.tokens) AS tokens, sum(r.steps) AS steps,
  sum(r.seconds) AS seconds, sum(r.cost) AS cost
FROM request r, turn, today, LATERAL (VALUES
  ('turn', r.session_id = $2 AND r.session_version >= turn.version),
  ('session', r.session_id = $2),
  ('day', r.created >= today.start AND CASE WHEN $3::text IS NULL THEN r.session_id = $2
    ELSE r.agent_id = $3 END),
  ('account_day', r.created >= today.start)) AS s(span, holds)
WHERE s.holds GROUP BY s.span, r.reserved, r.currency
)
SELECT span, reserved = 1 AS reserved, sum(tokens)::float8 AS tokens, sum(steps)::float8 AS steps,
  sum(seconds)::float8 AS seconds, coalesce(max(cost), 0) AS cost
FROM taken GROUP BY span, reserved"""

# $1 org, $2 Provider: what a token costs at the most; null where it has no prices.
PRICE = """
SELECT 0.000001 * greatest(p.input, p.output) FROM resource r, json_to_record(r.spec->'prices')
  AS p(input numeric, output numeric)
WHERE r.org_id = $1 AND r.kind = 'Provider' AND r.name = $2"""

RESERVE = """
WITH outdated AS (DELETE FROM budget_reservation WHERE step_id = $1 AND attempt < $2)
INSERT INTO budget_reservation (step_id, attempt, org_id, session_id, session_version, agent_id,
  tokens, cost)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (step_id, attempt) DO NOTHING"""


class PriceMissingError(PublicError):
    """A budget bounds the cost, and what a request costs is not known."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"A budget bounds the cost, and {provider!r} has no prices.")


async def reserve(
    pool: asyncpg.Pool, claim: Claim, budgets: Budgets, tokens: int, provider: str | None
) -> None:
    """Reserves what a request may take, or what is left where that is less.

    Args:
        pool: the database.
        claim: the step that makes the request.
        budgets: those over it.
        tokens: that it may take.
        provider: that is asked; None for a model that costs nothing.

    Raises:
        BudgetExceededError: a budget is used up.
        BudgetReservedError: what is left of one is reserved.
        PriceMissingError: a budget bounds the cost, and the provider has no prices.
    """
    session, limits = claim.session, list(budgets.limits())
    async with pool.acquire() as connection, connection.transaction():
        for key in _locks(claim, limits):
            await connection.execute(LOCK, key)
        shared = any(limit.span in (Span.DAY, Span.ACCOUNT_DAY) for limit in limits)
        rows = await connection.fetch(
            TAKEN, session.org_id, session.id, session.agent_id, claim.step_id, shared
        )
        left, left_cost = _left(limits, rows)
        price = await connection.fetchval(PRICE, session.org_id, provider)
        if left_cost is not None and price is None and provider is not None:
            raise PriceMissingError(provider)
        cost = None if price is None else tokens * price
        await connection.execute(
            RESERVE,
            *claim.fence,
            session.org_id,
            session.id,
            session.version,
            session.agent_id,
            int(min(tokens, left)),
            cost if cost is None or left_cost is None else min(cost, left_cost),
        )


def _locks(claim: Claim, limits: list[Limit]) -> list[str]:
    """What others reserve from too, from the outside in: in one order, whoever takes them."""
    session, spans = claim.session, {limit.span for limit in limits}
    account = [session.org_id] if Span.ACCOUNT_DAY in spans else []
    agent = [session.agent_id] if Span.DAY in spans and session.agent_id else []
    return [*account, *agent, session.id]


def _left(limits: list[Limit], rows: list[asyncpg.Record]) -> tuple[float, Decimal | None]:
    """How many tokens there are for another request, and how much money where that is bounded.

    Raises:
        BudgetExceededError: a budget is used up.
        BudgetReservedError: what is left of one is reserved.
    """
    taken = {(row["span"], row["reserved"]): row for row in rows}
    left: dict[str, Any] = {"tokens": float("inf"), "cost": None}
    waits = False
    for limit in limits:
        used, held = (
            row[limit.what] if (row := taken.get((limit.span, reserved))) else 0
            for reserved in (False, True)
        )
        if used >= limit.most:
            raise BudgetExceededError(limit)
        waits = waits or used + held >= limit.most
        rest, least = limit.most - used - held, left.get(limit.what)
        left[limit.what] = rest if least is None else min(least, rest)
    if waits:
        raise BudgetReservedError
    return left["tokens"], left["cost"]
