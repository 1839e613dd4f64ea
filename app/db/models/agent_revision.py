"""One saved state of an agent."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, written_json


class AgentRevision(SQLModel, table=True):
    """What an agent was at `revision`. Kept when the agent is deleted: sessions refer to it."""

    __tablename__ = "agent_revision"

    agent_id: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id", index=True)
    name: str
    description: str | None = None
    request_template: dict[str, Any] = written_json()
    variables: list[dict[str, Any]] = written_json()
    flow: str = "chat"
    created: datetime = created_at()
    created_by: str
