"""Budgets: how much the model requests of a turn, a session or a day may take together."""

from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import Field, WithJsonSchema

from app.wire.messages import WireModel

_MOST = 10**12

# Exact, so it goes out as a text. One schema for both ways: two would make two models of each that
# holds it.
Money: TypeAlias = Annotated[
    Decimal,
    Field(gt=0, max_digits=18, decimal_places=9),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}),
]


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
