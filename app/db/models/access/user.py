"""A user: a member of one org."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, key_order, written_json


class User(SQLModel, table=True):
    """A member of an org, known by e-mail address. All keys of one not `deployed` are refused."""

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("org_id", "email"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id", index=True)
    email: str
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    version: int = counter()
    deployed: bool = Field(default=True, sa_column_kwargs={"server_default": "true"})
    created: datetime = created_at()
