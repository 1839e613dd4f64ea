"""Budgets of model requests: reserved before a request is made, settled when it is counted."""

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
    u.input_tokens + u.output_tokens AS tokens, 1 AS steps, u.seconds, 0 AS reserved
  FROM model_usage u, today
  WHERE $5::bool AND u.org_id = $1 AND u.created >= today.start AND u.session_id <> $2
  UNION ALL
  SELECT u.session_id, u.session_version, u.agent_id, u.created,
    u.input_tokens + u.output_tokens, 1, u.seconds, 0
  FROM model_usage u WHERE u.session_id = $2
  UNION ALL
  SELECT r.session_id, r.session_version, r.agent_id, now(), r.tokens, 1, 0, 1
  FROM budget_reservation r
  JOIN step t ON t.id = r.step_id AND t.attempt = r.attempt AND t.status = 'running'
  WHERE r.org_id = $1 AND r.step_id <> $4
)
SELECT s.span, r.reserved = 1 AS reserved, sum(r.tokens)::float8 AS tokens,
  sum(r.steps)::float8 AS steps, sum(r.seconds)::float8 AS seconds
FROM request r, turn, today, LATERAL (VALUES
  ('turn', r.session_id = $2 AND r.session_version >= turn.version),
  ('session', r.session_id = $2),
  ('day', r.created >= today.start AND CASE WHEN $3::text IS NULL THEN r.session_id = $2
    ELSE r.agent_id = $3 END),
  ('account_day', r.created >= today.start)) AS s(span, holds)
WHERE s.holds GROUP BY s.span, r.reserved"""

RESERVE = """
WITH outdated AS (DELETE FROM budget_reservation WHERE step_id = $1 AND attempt < $2)
INSERT INTO budget_reservation (step_id, attempt, org_id, session_id, session_version, agent_id,
  tokens)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (step_id, attempt) DO NOTHING"""


async def reserve(pool: asyncpg.Pool, claim: Claim, budgets: Budgets, tokens: int) -> None:
    """Reserves what a request may take, or what is left where that is less.

    Args:
        pool: the database.
        claim: the step that makes the request.
        budgets: those over it.
        tokens: that it may take.

    Raises:
        BudgetExceededError: a budget is used up.
        BudgetReservedError: what is left of one is reserved.
    """
    session, limits = claim.session, list(budgets.limits())
    async with pool.acquire() as connection, connection.transaction():
        for key in _locks(claim, limits):
            await connection.execute(LOCK, key)
        shared = any(limit.span in (Span.DAY, Span.ACCOUNT_DAY) for limit in limits)
        rows = await connection.fetch(
            TAKEN, session.org_id, session.id, session.agent_id, claim.step_id, shared
        )
        left = _left(limits, rows)
        await connection.execute(
            RESERVE,
            *claim.fence,
            session.org_id,
            session.id,
            session.version,
            session.agent_id,
            int(min(tokens, left)),
        )


def _locks(claim: Claim, limits: list[Limit]) -> list[str]:
    """What others reserve from too, from the outside in: in one order, whoever takes them."""
    session, spans = claim.session, {limit.span for limit in limits}
    account = [session.org_id] if Span.ACCOUNT_DAY in spans else []
    agent = [session.agent_id] if Span.DAY in spans and session.agent_id else []
    return [*account, *agent, session.id]


def _left(limits: list[Limit], rows: list[asyncpg.Record]) -> float:
    """How many tokens there are for another request.

    Raises:
        BudgetExceededError: a budget is used up.
        BudgetReservedError: what is left of one is reserved.
    """
    taken = {(row["span"], row["reserved"]): row for row in rows}
    left, waits = float("inf"), False
    for limit in limits:
        used, held = (
            row[limit.what] if (row := taken.get((limit.span, reserved))) else 0.0
            for reserved in (False, True)
        )
        if used >= limit.most:
            raise BudgetExceededError(limit)
        waits = waits or used + held >= limit.most
        if limit.what == "tokens":
            left = min(left, limit.most - used - held)
    if waits:
        raise BudgetReservedError
    return left
