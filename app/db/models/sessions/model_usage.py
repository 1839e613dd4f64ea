"""What one request to a model took: a row for each attempt of a step that was answered."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Index, Numeric
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class ModelUsage(SQLModel, table=True):
    """Stays when its session is deleted: it is the org's account of what it spent.

    `user_id` is who started the session, `provider` what the template or the thread names: a
    Provider, or a built-in invoker. `session_version` is that of the session while the step ran,
    which tells its turn. What was read from the model's cache (`cached_tokens`) is among the input.
    `cost` is by the Provider's prices at that moment; null where it had none.
    """

    __tablename__ = "model_usage"
    __table_args__ = (
        Index("ix_model_usage_org", "org_id", "created"),
        Index("ix_model_usage_session", "session_id"),
    )

    step_id: str = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    org_id: str
    session_id: str
    session_version: int
    agent_id: str | None = None
    user_id: str
    provider: str
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    cached_tokens: int = Field(sa_type=BigInteger)
    seconds: float
    cost: Decimal | None = Field(default=None, sa_type=Numeric)
    currency: str | None = None
    created: datetime = created_at()
