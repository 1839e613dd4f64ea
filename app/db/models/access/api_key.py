"""An API key: only its HMAC is stored."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from app.db.models.columns import counter, created_at, key_order, moment, written_json


class ApiKey(SQLModel, table=True):
    """A credential of a user. `digest` is HMAC-SHA256 of the whole key.

    One that is not `deployed` is refused until it is again, a revoked one for ever. `name` is what
    its manifest calls it; a key that was made without one goes by its id.
    """

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("org_id", "name"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id", index=True)
    user_id: str = Field(foreign_key="user.id")
    name: str | None = None
    digest: bytes
    scopes: list[str] = Field(sa_type=ARRAY(TEXT))
    description: str | None = None
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    version: int = counter()
    deployed: bool = Field(default=True, sa_column_kwargs={"server_default": "true"})
    expires_at: datetime | None = moment()
    revoked_at: datetime | None = moment()
    created: datetime = created_at()
