"""What a turn of a thread is to bring about, at index `idx` among the thread's goals from 0."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, moment, written_json


class Goal(SQLModel, table=True):
    """`data` is the goal as it was declared, by message `message_idx`.

    `tool_use_id` names the call that achieved it, or the last one that did not. `concluded_version`
    is the session's version that achieved it or gave it up; a retry of that turn opens it again.
    """

    __tablename__ = "goal"

    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    )
    idx: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    org_id: str
    kind: str
    data: dict[str, Any] = written_json()
    status: str
    message_idx: int
    tool_use_id: str | None = None
    output: dict[str, Any] | None = written_json(nullable=True)
    created: datetime = created_at()
    concluded_at: datetime | None = moment()
    concluded_version: int | None = None
