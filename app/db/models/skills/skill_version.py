"""One version of a skill's text."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, json_column


class SkillVersion(SQLModel, table=True):
    """A version is numbered from 1 in each skill. Its text may be changed in place."""

    __tablename__ = "skill_version"

    skill_id: str = Field(
        sa_column=Column(String, ForeignKey("skill.id", ondelete="CASCADE"), primary_key=True)
    )
    version: int = Field(primary_key=True)
    org_id: str
    description: str
    body: str
    relevant_topics: list[str] = json_column()
    created: datetime = created_at()
    modified: datetime = created_at()
