"""A session: one running flow. `version` is the fence of every change."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, enum_column, json_column, moment
from app.enums import ThreadVisibility


class Session(SQLModel, table=True):
    """A conversation.

    `version` counts its transitions from 1, its start; a change is written only where the version
    is still the one that was read. `invocation_id` is set while an invocation runs, and only then.
    `model` is `SessionModel.serialize()`; `message_count` is the length of the dialogue.
    `parent_session_id` is the session of the step that started it, and `depth` how many such
    sessions are above it. `chart` is what the statechart keeps beside the state, `ChartMemory`, and
    `timer_due` when the first of its timers is due; while a worker sends the event of one, until
    when that worker has it.
    """

    __tablename__ = "session"
    __table_args__ = (
        Index("ix_session_page", "org_id", "created", "id"),
        Index("ix_session_creator", "org_id", "created_by", "created", "id"),
        Index("ix_session_shared", "org_id", "visibility", "created", "id"),
        Index(
            "ix_session_title",
            *("org_id", "title"),
            postgresql_using="gin",
            postgresql_ops={"title": "gin_trgm_ops"},
        ),
        Index("ix_session_agent", "org_id", "agent_id"),
        Index(  # flows in code have one revision only
            "ix_session_flow",
            *("org_id", "flow", "flow_revision"),
            postgresql_where="flow_revision > 0",
        ),
        Index(
            "ix_session_failed",
            *("org_id", "created", "id"),
            postgresql_where="task_error IS NOT NULL",
        ),
        Index("ix_session_expiry", "expires_at", postgresql_where="expires_at IS NOT NULL"),
        Index(
            "ix_session_parent",
            "parent_session_id",
            postgresql_where="parent_session_id IS NOT NULL",
        ),
        Index("ix_session_timer", "timer_due", postgresql_where="timer_due IS NOT NULL"),
    )

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    flow: str
    flow_revision: int = 0
    state: str
    model: bytes
    version: int = 1
    invocation_id: str | None = None
    task_error: str | None = None
    message_count: int = 0
    title: str | None = None
    visibility: ThreadVisibility = enum_column(ThreadVisibility, ThreadVisibility.PRIVATE)
    model_profile: str | None = None
    budget: dict[str, Any] | None = json_column(nullable=True)
    user_info: dict[str, Any] | None = json_column(nullable=True)
    agent_id: str | None = None
    agent_revision: int | None = None
    forked_from_id: str | None = None
    forked_from_message: int | None = None
    parent_session_id: str | None = Field(
        None, sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"))
    )
    depth: int = counter(0)
    chart: dict[str, Any] | None = json_column(nullable=True)
    timer_due: datetime | None = moment()
    expires_at: datetime | None = moment()
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
