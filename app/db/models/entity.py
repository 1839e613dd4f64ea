"""An entity: a dataset, device or collection that a typed variable points at."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, key_order, written_json


class Entity(SQLModel, table=True):
    """`kind` is Dataset (ids `ds_…`), Device (`dv_…`) or Collection (`cl_…`).

    `version` is the manifest's `resourceVersion`; it grows with each change. `summary` and `tags`
    are what achieved goals say of a dataset; no manifest sets them.
    """

    __tablename__ = "entity"
    __table_args__ = (UniqueConstraint("org_id", "kind", "name"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    kind: str
    name: str
    content_type: str | None = None
    properties: dict[str, Any] = written_json()
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    summary: str | None = None
    tags: list[str] = Field(
        default_factory=list,
        sa_column=Column(
            JSONB(none_as_null=True), server_default=text("'[]'::jsonb"), nullable=False
        ),
    )
    version: int = counter()
    created: datetime = created_at()
    created_by: str | None = None
    modified: datetime = created_at()
    modified_by: str | None = None
