"""An invocation: one entry of a session into an invoker state, with its steps."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, moment


class Invocation(SQLModel, table=True):
    """`status` is running, done, failed or cancelled; `event` is sent to the session at the end.

    `version` is the session's version while it runs: the fence of its completion. `input` is what
    the actor said, which the render of each step sees.
    """

    __tablename__ = "invocation"
    __table_args__ = (Index("ix_invocation_session", "session_id"),)

    id: str = Field(primary_key=True)
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    version: int
    state: str
    event: str
    input: str = ""
    status: str = "running"
    error: str | None = None
    created: datetime = created_at()
    finished_at: datetime | None = moment()
