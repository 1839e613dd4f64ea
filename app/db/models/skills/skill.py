"""A skill: a procedure that a model can be given; its text is in `skill_version`."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.db.models.columns import (
    counter,
    created_at,
    enum_column,
    json_column,
    key_order,
    written_json,
)


class SkillAccessibility(StrEnum):
    """Who may see a skill, and who may edit it."""

    PRIVATE = "private"
    ORG = "org"
    ORG_EDITABLE = "org-editable"


class Skill(SQLModel, table=True):
    """`created_by` is the author. `revision` counts all changes, also those of its versions.

    `latest_version` is the highest number in `skill_version`; who changes either locks this row.
    `meta` is what only its manifest says of it.
    """

    __tablename__ = "skill"
    __table_args__ = (
        Index(
            "uq_skill_org_name",
            "org_id",
            "name",
            unique=True,
            postgresql_where="accessibility <> 'private'",
        ),
        Index(
            "uq_skill_private_name",
            "org_id",
            "created_by",
            "name",
            unique=True,
            postgresql_where="accessibility = 'private'",
        ),
        Index("ix_skill_page", "org_id", "created", "id"),
    )

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    name: str
    accessibility: SkillAccessibility = enum_column(SkillAccessibility)
    tags: list[str] = json_column()
    latest_version: int = 1
    revision: int = counter()
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
    modified_by: str
