"""A secret: a value that is stored encrypted and never shown."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, json_column, key_order, moment, written_json


class Secret(SQLModel, table=True):
    """`ciphertext` is AES-GCM under key `key_id`, bound to the org, the kind and the name.

    `version` is the manifest's `resourceVersion`; it grows with each change. `value_by` is the user
    who gave the value: empty where that is not known, null of a release that did not keep it, then
    who made the row. `allowed_hosts` is what the manifest says; `hosts` are those of connections
    that were given it, each with the user who did, or null where that was an admin.
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
    value_by: str | None = None
    usable_by: str = Field(default="write", sa_column_kwargs={"server_default": "write"})
    allowed_hosts: list[str] | None = json_column(nullable=True)
    hosts: dict[str, str | None] = Field(
        default_factory=dict, sa_type=JSONB, sa_column_kwargs={"server_default": text("'{}'")}
    )
    version: int = 1
    expires_at: datetime | None = moment()
    last_used_at: datetime | None = moment()
    created: datetime = created_at()
    created_by: str
    modified: datetime = created_at()
    modified_by: str
