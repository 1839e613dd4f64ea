"""An agent as it is now; `agent_revision` holds what it was."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, key_order, written_json


class Agent(SQLModel, table=True):
    """A request template with declared variables. `revision` counts its changes from 1.

    `meta` is what only its manifest says of it: version, tags, annotations, labels.
    """

    __tablename__ = "agent"
    __table_args__ = (
        UniqueConstraint("org_id", "name"),
        Index("ix_agent_page", "org_id", "created", "id"),
    )

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    name: str
    description: str | None = None
    request_template: dict[str, Any] = written_json()
    variables: list[dict[str, Any]] = written_json()
    flow: str = "chat"
    deployed: bool = True
    revision: int = 1
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
    modified_by: str
