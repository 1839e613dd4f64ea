"""What happened to a session: the gapless log that deltas, logs and audit read."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class Transition(SQLModel, table=True):
    """The change that made the session's version `version`; 1 is the session's start.

    `cause` is `event:<id>`, `invocation:<id>`, `timer:<id>` or, where the watchdog freed the
    session, `stranded:<version>`. It is unique in the session: nothing is applied twice. `refusal`
    says why the event of a timer was dropped.
    """

    __tablename__ = "transition"
    __table_args__ = (UniqueConstraint("session_id", "cause"),)

    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    )
    version: int = Field(primary_key=True)
    org_id: str
    cause: str
    event: str
    source: str | None = None
    target: str
    error: str | None = None
    message_count: int
    refusal: str | None = None
    created: datetime = created_at()
