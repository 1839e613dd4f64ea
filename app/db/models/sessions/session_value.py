"""One value of a session's secondary store: written once, stored by itself."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class SessionValue(SQLModel, table=True):
    """`payload` is `<class name>:<VersionedModel.serialize()>`."""

    __tablename__ = "session_value"

    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    )
    key: str = Field(primary_key=True)
    org_id: str
    payload: bytes
    created: datetime = created_at()
