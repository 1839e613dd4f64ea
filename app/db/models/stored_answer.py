"""A stored answer: what a request with an idempotency key was answered."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class StoredAnswer(SQLModel, table=True):
    """`answer` is AES-GCM, bound to the org, the user and the key; null where it was too large.

    The keys of requests that change a session are kept with its events.
    """

    __tablename__ = "stored_answer"
    __table_args__ = (UniqueConstraint("org_id", "user_id", "key"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    user_id: str
    key: str
    request_hash: bytes
    status: int
    answer: bytes | None = None
    created: datetime = created_at()
