"""What a request to a model that runs may take of the budgets over it."""

from decimal import Decimal

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Numeric, String
from sqlmodel import Field, SQLModel


class BudgetReservation(SQLModel, table=True):
    """The row is there from before the request until what it took is counted.

    It holds while its step runs in its attempt: what a lost attempt reserved is free again.
    """

    __tablename__ = "budget_reservation"
    __table_args__ = (Index("ix_budget_reservation_org", "org_id"),)

    step_id: str = Field(
        sa_column=Column(String, ForeignKey("step.id", ondelete="CASCADE"), primary_key=True)
    )
    attempt: int = Field(primary_key=True)
    org_id: str
    session_id: str
    session_version: int
    agent_id: str | None = None
    tokens: int = Field(sa_type=BigInteger)
    cost: Decimal | None = Field(default=None, sa_type=Numeric)
