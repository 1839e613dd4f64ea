"""One user's subscription to a skill."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class SkillSubscription(SQLModel, table=True):
    """`ai_version` is the version that the user's models are offered; null: none."""

    __tablename__ = "skill_subscription"

    user_id: str = Field(primary_key=True)
    skill_id: str = Field(
        sa_column=Column(
            String, ForeignKey("skill.id", ondelete="CASCADE"), primary_key=True, index=True
        )
    )
    org_id: str
    ai_version: int | None = None
    subscribed: datetime = created_at()
