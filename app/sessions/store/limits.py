"""What bounds the model requests of a session: its own budget, and the account's."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Self

import asyncpg

_BOUNDED = ("tokens", "steps", "seconds", "cost")


class Span(StrEnum):
    """What a budget is over."""

    TURN = "turn"
    SESSION = "session"
    DAY = "day"
    ACCOUNT_DAY = "account_day"


class Limit(NamedTuple):
    """The most of one thing that the requests of a span may take."""

    span: Span
    what: str
    most: float | Decimal


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets over the requests of a session, as they are stored."""

    own: dict[str, Any]
    account: dict[str, Any]

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self | None:
        """Those in a row that the claiming statement returns; None where nothing is bounded."""
        own, account = row["budget"] or {}, row["org_budget"] or {}
        return cls(own, account) if own or account else None

    def limits(self) -> Iterator[Limit]:
        """All that hold; the tightest of a kind decides."""
        for budget, day in ((self.own, Span.DAY), (self.account, Span.ACCOUNT_DAY)):
            for span, name in ((Span.TURN, "turn"), (Span.SESSION, "session"), (day, "day")):
                bounds = budget.get(name) or {}
                for what in _BOUNDED:
                    if (most := bounds.get(f"max_{what}")) is not None:
                        exact = Decimal(most) if what == "cost" else most
                        yield Limit(span, what, exact)
