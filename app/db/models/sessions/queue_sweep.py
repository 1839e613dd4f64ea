"""When a queue was last looked through for steps that nobody took: one sweep at a time."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class QueueSweep(SQLModel, table=True):
    """A queue that some worker serves or served."""

    __tablename__ = "queue_sweep"

    queue: str = Field(primary_key=True)
    swept_at: datetime = created_at()
