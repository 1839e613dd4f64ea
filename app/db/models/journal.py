"""The journal: one row for every verb carried out on a resource."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, json_column

# The verbs that only look are no part of `logs`, whose index leaves them out.
IS_CHANGE = text("command NOT IN ('describe', 'diff', 'get', 'logs')")
IS_RENAME = text("command = 'rename'")


class JournalEntry(SQLModel, table=True):
    """Who did what to which resource, and how it ended. Secrets are masked before they get here."""

    __tablename__ = "journal"
    __table_args__ = (
        Index(
            "ix_journal_changes", "org_id", "kind", "name", "created", postgresql_where=IS_CHANGE
        ),
        Index("ix_journal_renames", "org_id", "kind", "name", postgresql_where=IS_RENAME),
    )

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    user_id: str
    command: str
    kind: str | None = None
    name: str | None = None
    status: int
    detail: dict[str, Any] | None = json_column(nullable=True)
    duration_ms: float
    created: datetime = created_at()
