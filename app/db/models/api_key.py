"""An API key: only its HMAC is stored."""

from datetime import datetime

from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, moment


class ApiKey(SQLModel, table=True):
    """A credential of a user. `digest` is HMAC-SHA256 of the whole key."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id", index=True)
    user_id: str = Field(foreign_key="user.id")
    digest: bytes
    scopes: list[str] = Field(sa_type=ARRAY(TEXT))
    description: str | None = None
    expires_at: datetime | None = moment()
    revoked_at: datetime | None = moment()
    created: datetime = created_at()
