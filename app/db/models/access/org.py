"""An org: the tenant that every other row belongs to."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, json_column, key_order, written_json


class Org(SQLModel, table=True):
    """A tenant. `name` is unique in the installation; `budget` bounds all of its sessions.

    `quotas` are what its Account says, where that is less than the settings do; `used_up` has those
    that are, as a worker counted last.
    """

    __tablename__ = "org"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    budget: dict[str, Any] | None = written_json(nullable=True)
    quotas: dict[str, Any] | None = json_column(nullable=True)
    used_up: dict[str, Any] | None = json_column(nullable=True)
    version: int = counter()
    created: datetime = created_at()
