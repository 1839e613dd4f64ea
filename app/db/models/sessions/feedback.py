"""A user's rating of one assistant message."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class Feedback(SQLModel, table=True):
    """One row per session, message and user; sending again replaces it."""

    __tablename__ = "feedback"
    __table_args__ = (UniqueConstraint("session_id", "message_idx", "created_by"),)

    id: str = Field(primary_key=True)
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    message_idx: int
    sentiment: str
    categories: list[str] = Field(sa_type=ARRAY(TEXT))
    notes: str | None = None
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
