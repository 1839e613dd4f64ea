"""An invocation: one entry of a session into an invoker state, with its steps."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, enum_column, moment


class InvocationStatus(StrEnum):
    """Whether an invocation runs, or how it ended."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Invocation(SQLModel, table=True):
    """`event` is sent to the session at the end; `input` is the actor's, for the steps' renders.

    `version` is the version that the session got when it entered `state`: a record for readers of
    the table. What fences the completion is the session's own version, with the step's attempt.
    After `deadline` it fails. `model` is the session's as it was when the invocation failed
    or was cancelled; one that failed is retried from it. `flow_fingerprint` is that of the code by
    which `state` was entered; null for flows of manifests, whose revision the session names.
    """

    __tablename__ = "invocation"
    __table_args__ = (
        Index("ix_invocation_session", "session_id"),
        Index("ix_invocation_deadline", "deadline", postgresql_where="status = 'running'"),
    )

    id: str = Field(primary_key=True)
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    version: int
    state: str
    event: str
    input: str = ""
    status: InvocationStatus = enum_column(InvocationStatus, InvocationStatus.RUNNING)
    error: str | None = None
    model: bytes | None = None
    flow_fingerprint: str | None = None
    deadline: datetime | None = moment()
    created: datetime = created_at()
    finished_at: datetime | None = moment()
