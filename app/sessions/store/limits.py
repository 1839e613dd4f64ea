"""What bounds the model requests of a session: its own budget, its agent's, and the account's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Self

import asyncpg

from app.enums import BudgetScope
from app.wire.budget import Budget

_BOUNDED = ("tokens", "steps", "seconds", "cost")

# Where the budgets of others stand in a session's.
_AGENT = "agent"
_MESSAGE = "message"
_LASTING = ("session", "day")  # of a message's


class Span(StrEnum):
    """What a budget is over."""

    TURN = "turn"
    SESSION = "session"
    DAY = "day"
    ACCOUNT_DAY = "account_day"


class Limit(NamedTuple):
    """The most of one thing that the requests of a span may take."""

    scope: BudgetScope
    span: Span
    what: str
    most: float | Decimal


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets over the requests of a session, as they are stored.

    Attributes:
        own: the session's, with that of its agent, and what messages brought, inside.
        account: the org's.
    """

    own: dict[str, Any]
    account: dict[str, Any]

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self | None:
        """Those in a row that the claiming statement returns; None where nothing is bounded."""
        own, account = row["budget"] or {}, row["org_budget"] or {}
        return cls(own, account) if own or account else None

    def limits(self) -> Iterator[Limit]:
        """All that hold; the tightest of a kind decides."""
        yield from _limits(BudgetScope.REQUEST, self.own)
        yield from _limits(BudgetScope.REQUEST, self.own.get(_MESSAGE) or {})
        yield from _limits(BudgetScope.AGENT, self.own.get(_AGENT) or {})
        yield from _limits(BudgetScope.ACCOUNT, self.account, Span.ACCOUNT_DAY)


def _limits(scope: BudgetScope, budget: Mapping[str, Any], day: Span = Span.DAY) -> Iterator[Limit]:
    for span, name in ((Span.TURN, "turn"), (Span.SESSION, "session"), (day, "day")):
        bounds = budget.get(name) or {}
        for what in _BOUNDED:
            if (most := bounds.get(f"max_{what}")) is not None:
                yield Limit(scope, span, what, Decimal(most) if what == "cost" else most)


def session_budget(request: Budget | None, agent: Budget | None) -> dict[str, Any] | None:
    """The budget of a new session as it is stored; None where nothing is bounded.

    Args:
        request: of the request that starts it.
        agent: of the agent that it is launched from.
    """
    stored = request.stored() if request else {}
    if agent is not None and (bounds := agent.stored()):
        stored[_AGENT] = bounds
    return stored or None


def bounds_steps(stored: Mapping[str, Any] | None, message: Budget | None = None) -> bool:
    """Whether it is said how many requests a turn may make.

    Args:
        stored: the budget of the session.
        message: of the message that begins the turn.
    """
    own = stored or {}
    budgets = [own, own.get(_AGENT) or {}, message.stored() if message else {}]
    return any("max_steps" in (budget.get("turn") or {}) for budget in budgets)


def with_message(stored: dict[str, Any] | None, message: Budget | None) -> dict[str, Any]:
    """The budget of a session once a message has come: its bound of the turn holds for the turn.

    Those of the session and the day hold from here on, where they are tighter.
    """
    given = message.stored() if message else {}
    before = (stored or {}).get(_MESSAGE) or {}
    bounds = {
        name: _tightest(before.get(name) or {}, given.get(name) or {}) for name in _LASTING
    } | {"turn": given.get("turn")}
    kept = {name: bound for name, bound in bounds.items() if bound}
    others = {name: bound for name, bound in (stored or {}).items() if name != _MESSAGE}
    return others | ({_MESSAGE: kept} if kept else {})


def _tightest(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The lower of each bound."""
    tighter = {
        name: most
        for name, most in second.items()
        if name not in first or Decimal(str(most)) < Decimal(str(first[name]))
    }
    return first | tighter
