"""An event that a client sent to a session and that the session took."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, ForeignKey, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class Event(SQLModel, table=True):
    """`answer` is the response to the client: the same key with the same request gets it again.

    It is json, not jsonb, so that the second answer is the first one letter by letter.
    """

    __tablename__ = "event"
    __table_args__ = (UniqueConstraint("session_id", "idempotency_key"),)

    id: str = Field(primary_key=True)
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    name: str
    input: str
    idempotency_key: str | None = None
    request_hash: bytes
    answer: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    created: datetime = created_at()
    created_by: str
