"""An event that was found in a dataset."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, json_column


class DatasetEvent(SQLModel, table=True):
    """Times are nanoseconds since 1970 (UTC); `collection_id` names the collection it is put into.

    `session_id` is the thread whose goal made it; the thread may be gone.
    """

    __tablename__ = "dataset_event"
    __table_args__ = (Index("ix_dataset_event_page", "dataset_id", "start_time", "id"),)

    id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="org.id")
    dataset_id: str = Field(
        sa_column=Column(String, ForeignKey("entity.id", ondelete="CASCADE"), nullable=False)
    )
    collection_id: str | None = Field(
        sa_column=Column(
            String, ForeignKey("entity.id", ondelete="SET NULL"), nullable=True, index=True
        )
    )
    session_id: str
    name: str
    start_time: int = Field(sa_column=Column(BigInteger, nullable=False))
    end_time: int = Field(sa_column=Column(BigInteger, nullable=False))
    description: str | None = None
    tags: list[str] = json_column()
    target_id: str
    created: datetime = created_at()
