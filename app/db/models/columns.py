"""Column types that the tables share. Times come from the database's clock."""

import json
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, MetaData, String, false, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel
from typing_extensions import override

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


class EnumText(TypeDecorator[StrEnum]):
    """A member of a `StrEnum`, stored as its text: a new member needs no migration."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    @override
    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.members(value).value

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.members(value)


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


def enum_column(
    members: type[StrEnum], default: StrEnum | None = None, *, nullable: bool = False
) -> Any:
    """A text that is one of the members; without a default it must be given."""
    if nullable:
        return Field(default=default, sa_type=EnumText(members), nullable=True)
    if default is None:
        return Field(sa_type=EnumText(members))
    return Field(default=default, sa_type=EnumText(members))


class WrittenJson(TypeDecorator[Any]):
    """A json value that keeps the order of its keys, which jsonb does not; no query looks into it.

    A value that differs from the stored one only in the order of its keys is written, too.
    """

    impl = JSON
    cache_ok = True

    @override
    def compare_values(self, x: Any, y: Any) -> bool:
        return json.dumps(x) == json.dumps(y)


def written_json(*, nullable: bool = False) -> Any:
    """What a user wrote: a json value with its keys in their order."""
    return Field(default=None, sa_type=WrittenJson(none_as_null=True), nullable=nullable)


def key_order() -> Any:
    """The order of a manifest's keys, by `metadata` and `spec`, where other columns hold them.

    Read by `describe`. Null where no manifest was applied; keys that it does not name come last.
    """
    return written_json(nullable=True)


def counter(first: int = 1) -> Any:
    """An integer that starts at `first`, also where a statement does not name it."""
    return Field(default=first, sa_column_kwargs={"server_default": str(first)})


def flag() -> Any:
    """A boolean that is false, also where a statement does not name it."""
    return Field(default=False, sa_column_kwargs={"server_default": false()})
