"""A resource: the manifest of every kind that needs no table of its own."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, key_order, written_json


class Resource(SQLModel, table=True):
    """`version` is the manifest's `resourceVersion`; it grows with each change."""

    __tablename__ = "resource"
    __table_args__ = (UniqueConstraint("org_id", "kind", "name"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    kind: str
    name: str
    meta: dict[str, Any] = written_json()
    key_order: dict[str, list[str]] | None = key_order()
    spec: dict[str, Any] = written_json()
    version: int = 1
    deployed: bool = True
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
    modified_by: str
