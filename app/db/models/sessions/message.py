"""One message of a session's dialogue, at index `idx` from 0."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    literal_column,
)
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, enum_column, json_column
from app.enums import MessageRole

# The texts of a message as JSON, by which messages are found. Reading `content` for each would take
# a hundred times as long.
SAID: ColumnElement[str] = literal_column(
    "(jsonb_path_query_array(content, '$[*].text')::text)", String
)


class MessageStatus(StrEnum):
    """How far a stored message has come.

    Only one of tool results is stored while it grows: it is the last of its session. An answer
    that is being generated has no row yet.
    """

    GENERATING = "generating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Message(SQLModel, table=True):
    """`content` is a list of blocks (`{"text": …}` or `{"content_type": "error", …}`).

    `step_id` and `attempt` name what generated it, so that a reader who followed the partial
    output knows whether this is how it ended. `reasoning` is what the model of an answer that
    calls tools is sent back with their results, as its connection wrote it; no reader sees it.
    `created_by` is the user who wrote it; None where nobody did.
    """

    __tablename__ = "message"
    __table_args__ = (
        Index(
            "ix_message_said",
            *("org_id", SAID.label("said")),
            postgresql_using="gin",
            postgresql_ops={"said": "gin_trgm_ops"},
        ),
    )

    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    )
    idx: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    org_id: str
    role: MessageRole = enum_column(MessageRole)
    content: list[dict[str, Any]] = json_column()
    status: MessageStatus = enum_column(MessageStatus, MessageStatus.COMPLETED)
    step_id: str | None = None
    attempt: int | None = None
    reasoning: str | None = None
    created_by: str | None = None
    created: datetime = created_at()
