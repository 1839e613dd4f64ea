"""Column types that the tables share. Times come from the database's clock."""

from typing import Any

from sqlalchemy import DateTime, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

NOW = func.clock_timestamp()

# Migrations name constraints by these rules, so that later ones can refer to them.
SQLModel.metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def created_at() -> Any:
    """When the row was inserted, by the database's clock."""
    return Field(
        default=None,
        sa_type=DateTime(timezone=True),
        sa_column_kwargs={"server_default": NOW},
        nullable=False,
    )


def moment(*, index: bool = False) -> Any:
    """A nullable point in time."""
    return Field(default=None, sa_type=DateTime(timezone=True), index=index)


def json_column(*, nullable: bool = False) -> Any:
    """A jsonb value."""
    return Field(default=None, sa_type=JSONB(none_as_null=True), nullable=nullable)


def counter() -> Any:
    """An integer that starts at 1, also where a statement does not name it."""
    return Field(default=1, sa_column_kwargs={"server_default": "1"})
