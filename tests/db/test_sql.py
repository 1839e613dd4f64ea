"""The SQL that is written as text: PostgreSQL takes it, and answers what our types read."""

import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from importlib import import_module
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import asyncpg
import pytest

import app
from app.db.engine import Database
from app.db.models import InvocationStatus, MessageStatus, StepStatus
from app.enums import ActionStatus, MessageRole
from app.goals.turn import GoalStatus
from app.sessions.store.snapshot import SessionHead, Snapshot
from app.sessions.store.sql import change_sql, message_sql, read_sql, step_sql
from app.sessions.store.store import FailedInvocation, OverdueInvocation
from app.sessions.store.stored_rows import StoredMessage

_STATEMENT = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\s")
# Modules whose statements are put together of parts, which have a name with an underscore.
_OF_PARTS = re.compile(r"_sql$")

# What a column of each type is in Python.
_CLASSES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "varchar": (str,),
    "text[]": (list,),
    "int4": (int,),
    "int8": (int,),
    "timestamptz": (datetime,),
    "bytea": (bytes,),
    "json": (dict, list),
    "jsonb": (dict, list),
}


def statements() -> Iterator[tuple[str, str]]:
    """Each statement that a module of the app has as a constant, with where it is."""
    for found in pkgutil.walk_packages(app.__path__, "app."):
        if found.name.endswith("__main__"):
            continue
        for name, value in vars(import_module(found.name)).items():
            is_part = name.startswith("_") and _OF_PARTS.search(found.name)
            values = value.values() if isinstance(value, Mapping) else [value]
            for one in values:
                if isinstance(one, str) and _STATEMENT.match(one) and not is_part:
                    yield f"{found.name}.{name}", one


async def test_postgresql_takes_every_statement(database: Database) -> None:
    faults = {}
    prepared = 0
    async with database.pool.acquire() as connection:
        for place, statement in statements():
            try:
                await connection.prepare(statement)
            except asyncpg.PostgresError as error:
                faults[place] = str(error)
            prepared += 1

    assert faults == {}
    assert prepared >= 30


@pytest.mark.parametrize(
    ("statement", "record", "others"),
    [
        (read_sql.LOAD, Snapshot, {"known_hash", "known_answer"}),
        (step_sql.CLAIM, Snapshot, {"step_id", "parent_id"}),
        (read_sql.STATUS, SessionHead, {"total", "done", "last_content"}),
        (read_sql.VIEW, SessionHead, {"running_id", "ending_event", "entered", "step_id"}),
        (message_sql.MESSAGES, StoredMessage, set()),
    ],
)
async def test_a_record_has_the_columns_that_are_read(
    database: Database, statement: str, record: type, others: set[str]
) -> None:
    columns = await columns_of(database, statement)
    names = [name for name, _ in columns]
    hints = get_type_hints(record)

    assert len(set(names)) == len(names)  # of two with one name, one would be read for the other
    # What has a default is filled later.
    read = {field.name for field in fields(record) if field.default_factory is MISSING}
    assert read | others <= set(names)
    for name, kind in columns:
        if name in hints:
            assert is_of(hints[name], _CLASSES[kind]), (name, kind, hints[name])


async def test_what_leaves_out_the_model_reads_nothing_else_of_the_session(
    database: Database,
) -> None:
    heads = {field.name for field in fields(SessionHead)}
    snapshot = {name for name, _ in await columns_of(database, read_sql.LOAD)}

    for statement in (read_sql.STATUS, read_sql.VIEW):
        read = {name for name, _ in await columns_of(database, statement)}
        assert read & snapshot == heads


@pytest.mark.parametrize(
    ("statement", "record"),
    [
        (read_sql.FAILED_INVOCATION, FailedInvocation),
        (read_sql.OVERDUE, OverdueInvocation),
    ],
)
async def test_a_row_that_is_read_by_position_has_the_columns_in_order(
    database: Database, statement: str, record: Any
) -> None:
    assert tuple(name for name, _ in await columns_of(database, statement)) == record._fields


async def columns_of(database: Database, statement: str) -> list[tuple[str, str]]:
    """The names and types of the columns that a statement answers."""
    async with database.pool.acquire() as connection:
        prepared = await connection.prepare(statement)
        return [(column.name, column.type.name) for column in prepared.get_attributes()]


def is_of(hint: Any, kinds: tuple[type, ...]) -> bool:
    """Whether an annotation, of which None may be a part, is of one of the classes."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return any(issubclass(get_origin(part) or part, kinds) for part in parts)


def test_every_change_of_a_session_can_write_what_its_statechart_keeps() -> None:
    changes = [
        change_sql.START,
        change_sql.START_CHILD,
        change_sql.ADMIT,
        change_sql.COMPLETE,
        change_sql.CLOSE,
        change_sql.RESUME,
    ]
    for forms in changes:
        assert len(set(forms.values())) == 32
        for form, statement in forms.items():  # made once, and written to both columns
            assert statement.count("new_chart") == (3 if form.with_chart else 0)


_STATUS = re.compile(
    r"\bstatus\s*(?:=|<>)\s*'(\w+)'|\bstatus IN \(([^)]*)\)|\b(?:closed_as|role)\s*=\s*'(\w+)'"
)


def test_words_that_statements_compare_are_those_of_our_enums() -> None:
    """A misspelt one would be valid SQL that finds nothing."""
    known = {
        word.value
        for kind in (StepStatus, InvocationStatus, MessageStatus, ActionStatus, GoalStatus)
        for word in kind
    } | {role.value for role in MessageRole}
    compared = {
        (place, word)
        for place, statement in statements()
        for found in _STATUS.finditer(statement)
        for word in re.findall(r"\w+", " ".join(part or "" for part in found.groups()))
    }
    assert len({word for _, word in compared}) > 8
    assert {(place, word) for place, word in compared if word not in known} == set()
