"""A pin: one user's bookmark of a session."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class Pin(SQLModel, table=True):
    """The row is there while the session is pinned for the user."""

    __tablename__ = "pin"

    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    )
    user_id: str = Field(primary_key=True)
    org_id: str
    pinned_at: datetime = created_at()
