"""An org: the tenant that every other row belongs to."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at


class Org(SQLModel, table=True):
    """A tenant. `name` is unique in the installation."""

    __tablename__ = "org"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    created: datetime = created_at()
