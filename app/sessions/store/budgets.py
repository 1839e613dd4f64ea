"""Budgets of model requests: reserved before a request is made, settled when it is counted."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Self

import asyncpg

from app.enums import BudgetScope
from app.errors import PublicError
from app.sessions.store.claim import Claim
from app.sessions.store.limits import Budgets, Limit, Span
from app.sessions.store.snapshot import SessionHead
from app.sessions.store.sql import budget_sql
from app.wire.budget import UsedUpBudget


class BudgetExceededError(PublicError):
    """What the requests of a span took is all that they may take; the text says so."""

    def __init__(self, used_up: UsedUpBudget) -> None:
        super().__init__(used_up.text)
        self.used_up = used_up


class BudgetReservedError(Exception):
    """What is left of a budget is reserved for requests that run now: some may come back."""

    def __init__(self) -> None:
        super().__init__("What is left of a budget is reserved.")


class PriceMissingError(PublicError):
    """A budget bounds the cost, and what a request costs is not known."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"A budget bounds the cost, and {provider!r} has no prices.")


class Needs(NamedTuple):
    """How many tokens a request may take: what it sends, and the most that is answered."""

    request: int
    answer: int


async def reserve(
    pool: asyncpg.Pool, claim: Claim, budgets: Budgets, needs: Needs, provider: str | None
) -> int | None:
    """Reserves what a request may take, or what is left where that is less.

    Args:
        pool: the database.
        claim: the step that makes the request.
        budgets: those over it.
        needs: what it may take.
        provider: that is asked; None for a model that costs nothing.

    Returns:
        How many tokens its answer may have, so that no budget is passed; None for any.

    Raises:
        BudgetExceededError: a budget is used up, or what is left of it is too little to be asked.
        BudgetReservedError: what is left of one is reserved.
        PriceMissingError: a budget bounds the cost, and the provider has no prices.
    """
    session, limits, tokens = claim.session, list(budgets.limits()), sum(needs)
    async with pool.acquire() as connection, connection.transaction():
        for key in _locks(claim, limits):
            await connection.execute(budget_sql.LOCK, key)
        price = await connection.fetchval(budget_sql.PRICE, session.org_id, provider)
        cost = None if price is None else tokens * price
        least = {} if provider is None else {"tokens": needs.request}
        if price is not None:
            least["cost"] = needs.request * price
        accounts = await _accounts(connection, session, limits, claim.step_id, least)
        needed = {"tokens": tokens, "steps": 1, "cost": cost}
        left, left_cost = _left(accounts, needed)
        if left_cost is not None and price is None and provider is not None:
            raise PriceMissingError(provider)
        if left_cost is not None and price:
            left = min(left, int(left_cost / price))
        if provider is not None and left <= needs.request:
            raise _too_little(accounts, needed)
        await connection.execute(
            budget_sql.RESERVE,
            *claim.fence,
            session.org_id,
            session.id,
            session.version,
            session.agent_id,
            int(min(tokens, left)),
            cost if cost is None or left_cost is None else min(cost, left_cost),
        )
    is_bounded = provider is not None and left < float("inf")
    return int(min(tokens, left)) - needs.request if is_bounded else None


async def is_used_up(pool: asyncpg.Pool, session: SessionHead) -> bool:
    """Whether a budget over the requests of a session is used up at this moment."""
    account = await pool.fetchval("SELECT budget FROM org WHERE id = $1", session.org_id)
    limits = list(Budgets(session.budget or {}, account or {}).limits())
    async with pool.acquire() as connection:
        accounts = await _accounts(connection, session, limits, "", {})
    return any(account.used >= account.limit.most for account in accounts)


class _Account(NamedTuple):
    """A limit, with what was taken of it and what is reserved."""

    limit: Limit
    used: Any  # a number, or a decimal one of money, as the limit is
    held: Any

    @property
    def is_reached(self) -> bool:
        """Whether there is nothing left for another request."""
        return self.leaves_only(0)

    def leaves_only(self, least: float | Decimal) -> bool:
        """Whether no more than that is left."""
        return bool(self.limit.most - self.used - self.held <= least)

    def used_up(self, needed: float | Decimal | None) -> UsedUpBudget:
        """The budget as people are asked about it, where the next request needs so much."""
        limit = self.limit
        return UsedUpBudget(
            scope=limit.scope,
            period="day" if limit.span is Span.ACCOUNT_DAY else limit.span.value,
            bound=f"max_{limit.what}",
            limit=_plain(limit.what, limit.most),
            used=_plain(limit.what, self.used),
            needed=None if needed is None else _plain(limit.what, needed),
        )


async def _accounts(
    connection: asyncpg.pool.PoolConnectionProxy,
    session: SessionHead,
    limits: list[Limit],
    step_id: str,
    least: Mapping[str, float | Decimal],
) -> list[_Account]:
    """How the limits stand; raises are asked for only where one leaves no more than the least."""
    shared = any(limit.span in (Span.DAY, Span.ACCOUNT_DAY) for limit in limits)
    whose = (session.org_id, session.id, session.agent_id)
    rows = await connection.fetch(budget_sql.TAKEN, *whose, step_id, shared)
    taken = {(row["span"], row["reserved"]): row for row in rows}

    def amount(limit: Limit, *, reserved: bool) -> Any:
        row = taken.get((limit.span, reserved))
        return row[limit.what] if row else 0

    accounts = [
        _Account(limit, amount(limit, reserved=False), amount(limit, reserved=True))
        for limit in limits
    ]
    if not any(account.leaves_only(least.get(account.limit.what, 0)) for account in accounts):
        return accounts
    raises = [_Raise.from_row(row) for row in await connection.fetch(budget_sql.RAISES, *whose)]
    return [account._replace(limit=_raised(account.limit, raises)) for account in accounts]


class _Raise(NamedTuple):
    """A limit that became another, by the decision of a person."""

    of: Limit
    most: float | Decimal

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The raise in a row of its statement."""
        asked = row["arguments"]
        [(bound, most)], [raised] = asked["limit"].items(), row["raised"].values()
        scope, what = BudgetScope(asked["scope"]), bound.removeprefix("max_")
        is_account_s = scope is BudgetScope.ACCOUNT and asked["period"] == "day"
        span = Span.ACCOUNT_DAY if is_account_s else Span(asked["period"])
        return cls(Limit(scope, span, what, _exact(what, most)), _exact(what, raised))


def _raised(limit: Limit, raises: list[_Raise]) -> Limit:
    """The limit that holds: a raise is of the limit that was asked about, or of what became of it.

    So it ends where that is set anew.
    """
    reached = {limit.most}
    own = [one for one in raises if one.of[:3] == limit[:3]]
    for one in sorted(own, key=lambda one: one.of.most):
        if one.of.most in reached:
            reached.add(one.most)
    return limit._replace(most=max(reached))


def _exact(what: str, amount: float | str) -> float | Decimal:
    return Decimal(str(amount)) if what == "cost" else float(amount)


def _too_little(
    accounts: list[_Account], needed: Mapping[str, float | Decimal | None]
) -> BudgetExceededError | BudgetReservedError:
    """Why a request is not made that may take more than what is left: others may give some back."""
    if any(account.held for account in accounts):
        return BudgetReservedError()
    short = [
        account
        for account in accounts
        if (need := needed.get(account.limit.what)) is not None
        and account.limit.most - account.used < need
    ]
    tightest = min(short, key=lambda one: (one.limit.most - one.used) / needed[one.limit.what])
    return BudgetExceededError(tightest.used_up(needed[tightest.limit.what]))


def _plain(what: str, amount: float | Decimal) -> int | float | str:
    """A number as JSON has it: whole numbers whole, and money as a text."""
    if what == "cost":
        return format(Decimal(amount).normalize(), "f")
    return int(amount) if what in ("tokens", "steps") else float(amount)


def _locks(claim: Claim, limits: list[Limit]) -> list[str]:
    """What others reserve from too, from the outside in: in one order, whoever takes them."""
    session, spans = claim.session, {limit.span for limit in limits}
    account = [session.org_id] if Span.ACCOUNT_DAY in spans else []
    agent = [session.agent_id] if Span.DAY in spans and session.agent_id else []
    return [*account, *agent, session.id]


def _left(
    accounts: list[_Account], needed: Mapping[str, float | Decimal | None]
) -> tuple[float, Decimal | None]:
    """How many tokens there are for another request, and how much money where that is bounded.

    Raises:
        BudgetExceededError: a budget is used up.
        BudgetReservedError: what is left of one is reserved.
    """
    left: dict[str, Any] = {"tokens": float("inf"), "cost": None}
    for account in accounts:
        limit = account.limit
        if account.used >= limit.most:
            raise BudgetExceededError(account.used_up(needed.get(limit.what)))
        rest, least = limit.most - account.used - account.held, left.get(limit.what)
        left[limit.what] = rest if least is None else min(least, rest)
    if any(account.is_reached for account in accounts):
        raise BudgetReservedError
    return left["tokens"], left["cost"]
