"""A step: one node of an invocation's step graph. The row is the outbox."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, json_column, moment

_OPEN = "status IN ('queued', 'running')"


class Step(SQLModel, table=True):
    """A leaf is rendered and invoked; a composite (chain, parallel, map) waits for its children.

    `status`: waiting, queued, running, done, failed, superseded. `path` is the node's place in the
    template ("" for the root, then "0", "0/name", …). `remaining` counts a composite's children
    that are not done. `input` is what its render sees: `previous_result`, map index and value.
    """

    __tablename__ = "step"
    __table_args__ = (
        UniqueConstraint("invocation_id", "path"),
        Index("ix_step_due", "run_after", postgresql_where=_OPEN),
        Index("ix_step_session", "session_id"),
    )

    id: str = Field(primary_key=True)
    invocation_id: str = Field(
        sa_column=Column(String, ForeignKey("invocation.id", ondelete="CASCADE"), nullable=False)
    )
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    path: str = ""
    parent_id: str | None = None
    kind: str = "leaf"
    status: str
    queue: str = "default"
    attempt: int = 0
    max_attempts: int
    remaining: int = 0
    input: dict[str, Any] = json_column()
    result: str | None = None
    error: str | None = None
    run_after: datetime = created_at()
    lease_until: datetime | None = moment()
    published_at: datetime | None = moment()
    created: datetime = created_at()
    finished_at: datetime | None = moment()
