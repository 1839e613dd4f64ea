"""An org: the tenant that every other row belongs to."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, json_column


class Org(SQLModel, table=True):
    """A tenant. `name` is unique in the installation."""

    __tablename__ = "org"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    meta: dict[str, Any] | None = json_column(nullable=True)
    version: int = counter()
    created: datetime = created_at()
