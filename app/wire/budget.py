"""Budgets: how much the model requests of a turn, a session or a day may take together."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema
from typing_extensions import TypeAliasType

from app.enums import BudgetScope
from app.wire.messages import WireModel

_MOST = 10**12

# Exact, so it goes out as a text. One schema for both ways: two would make two models of each that
# holds it.
Money = TypeAliasType(
    "Money",
    Annotated[
        Decimal,
        Field(gt=0, max_digits=18, decimal_places=9),
        WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
    ],
)


class SpanBudget(WireModel):
    """What the requests of a span of time may take together; what is left out has no bound."""

    max_tokens: int | None = Field(None, description="Input and output.", ge=1, le=_MOST)
    max_steps: int | None = Field(
        None, description="Requests to models, those that are tried again too.", ge=1, le=_MOST
    )
    max_cost: Money | None = Field(
        None,
        description="In the currency of the Provider's prices, without which none is asked.",
        examples=["0.5"],
    )
    max_seconds: float | None = Field(
        None, description="For which requests lasted, added up.", gt=0, le=_MOST
    )


class TurnBudget(SpanBudget):
    """What one message of the user's may lead to."""

    max_steps: int | None = Field(
        None, description="Requests to models; left out: 25 in `chat`.", ge=1, le=200
    )


class Budget(WireModel):
    """Bounds that hold together: the tightest decides."""

    turn: TurnBudget | None = Field(None, description="Since the user's last message.")
    session: SpanBudget | None = Field(None, description="All of a session.")
    day: SpanBudget | None = Field(
        None,
        description="A day (UTC) of all sessions of the agent, or of the account; of a thread "
        "that no agent was launched for, of the thread.",
    )

    @property
    def bounds_cost(self) -> bool:
        """Whether what is asked needs prices."""
        spans = (self.turn, self.session, self.day)
        return any(span is not None and span.max_cost is not None for span in spans)

    def stored(self) -> dict[str, Any]:
        """The budget as it is kept: without what it leaves open."""
        return self.model_dump(mode="json", exclude_none=True)


class UsedUpBudget(BaseModel):
    """A bound that is reached; amounts of money are texts, which are exact.

    Attributes:
        scope: who set it.
        period: what it is over.
        bound: which of its members.
        limit: the most that may be taken.
        used: what was taken.
        needed: what the next request may take; None where nobody can say.
    """

    scope: BudgetScope
    period: Literal["turn", "session", "day"]
    bound: Literal["max_tokens", "max_steps", "max_cost", "max_seconds"]
    limit: int | float | str
    used: int | float | str
    needed: int | float | str | None

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        whose = "account's " if (self.scope, self.period) == (BudgetScope.ACCOUNT, "day") else ""
        return f"budget of the {whose}{self.period}"

    @property
    def text(self) -> str:
        """Says that it is used up, or that too little is left."""
        what = self.bound.removeprefix("max_")
        if Decimal(self.used) >= Decimal(self.limit):
            return f"The {self.name} is used up: {self.limit} {what}."
        left = f"{self.used} of {self.limit} {what} are used"
        return f"The {self.name} has too little left for another request: {left}."

    @property
    def question(self) -> str:
        """What people are asked."""
        return f"{self.text} May the turn take more?"

    def shown(self) -> dict[str, Any]:
        """The budget as an action shows it: its limit as a budget is written."""
        shown = self.model_dump(mode="json", exclude={"bound", "limit"}, exclude_none=True)
        return shown | {"limit": {self.bound: self.limit}}

    def answer_schema(self) -> dict[str, Any]:
        """The JSON Schema of a raise: a new limit, written as the old one is."""
        reached = max(Decimal(self.used), Decimal(self.limit))
        above = {"exclusiveMinimum": float(reached), "maximum": _MOST}
        kind = "integer" if self.bound in ("max_tokens", "max_steps") else "number"
        value: dict[str, Any] = {"type": kind, **above}
        if self.bound == "max_cost":
            value = {"anyOf": [value, {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,9})?$"}]}
        return {
            "type": "object",
            "properties": {self.bound: value},
            "required": [self.bound],
            "additionalProperties": False,
        }
