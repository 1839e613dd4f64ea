"""A secret: a value that is stored encrypted and never shown."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, key_order, moment, written_json


class Secret(SQLModel, table=True):
    """`ciphertext` is AES-GCM under key `key_id`, bound to the org, the kind and the name.

    `version` is the manifest's `resourceVersion`; it grows with each change.
    """

    __tablename__ = "secret"
    __table_args__ = (UniqueConstraint("org_id", "name"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    name: str
    meta: dict[str, Any] = written_json()
    key_order: dict[str, list[str]] | None = key_order()
    key_id: str
    ciphertext: bytes
    version: int = 1
    expires_at: datetime | None = moment()
    last_used_at: datetime | None = moment()
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
    modified_by: str
