"""Errors of the database are told apart from errors of who asks it."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.db.engine import Database
from app.db.failures import is_database_failure
from app.settings import Settings

FAILURES = {
    "08000", "08001", "08003", "08004", "08006", "08P01",
    "25006", "25P03", "25P04", "26000", "28000", "28P01", "3D000", "3F000",
    "40000", "40001", "40003", "40P01", "42501", "42703", "42883", "42P01", "42P05",
    "53000", "53100", "53200", "53300", "53400", "55006", "55P03",
    "57000", "57014", "57P01", "57P02", "57P03", "57P04", "57P05",
    "58000", "58030", "58P01", "72000", "F0000", "F0001", "XX000", "XX001", "XX002",
    "53999",  # a state that the driver does not know
}  # fmt: skip
FAULTS = {
    "0A000", "21000", "22001", "22003", "22021", "22P02", "22P05", "23502", "23503", "23505",
    "23514", "25001", "25P02", "42601", "42804", "42P02", "42P18", "54000", "54001", "55000",
    "P0001", "99999",
}  # fmt: skip

Run = Callable[[Database, str], Awaitable[object]]


async def _raw(database: Database, sql: str) -> object:
    return await database.pool.execute(sql)


async def _orm(database: Database, sql: str) -> object:
    async with database.transaction() as db:
        return await (await db.connection()).execute(text(sql))


def _server_error(sqlstate: str) -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": "as the server says"})


def _wrapped(cause: BaseException, *, invalidated: bool = False) -> DBAPIError:
    orig = RuntimeError("as SQLAlchemy wraps it")
    orig.__cause__ = cause
    return DBAPIError("SELECT 1", None, orig, connection_invalidated=invalidated)


@pytest.mark.parametrize("sqlstate", sorted(FAILURES))
def test_the_server_says_that_it_failed(sqlstate: str) -> None:
    error = _server_error(sqlstate)
    assert is_database_failure(error)
    assert is_database_failure(_wrapped(error))


@pytest.mark.parametrize("sqlstate", sorted(FAULTS))
def test_the_server_says_that_the_statement_is_wrong(sqlstate: str) -> None:
    error = _server_error(sqlstate)
    assert not is_database_failure(error)
    assert not is_database_failure(_wrapped(error))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
        PoolTimeoutError("QueuePool limit reached"),
        _wrapped(_server_error("23505"), invalidated=True),
    ],
)
def test_the_driver_says_that_the_way_to_the_server_failed(error: Exception) -> None:
    assert is_database_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        RuntimeError("x"),
        asyncio.CancelledError(),
        asyncpg.exceptions.DataError("invalid input for query argument $1"),
        asyncpg.exceptions.ClientConfigurationError("no such option"),
        _wrapped(ValueError("x")),
    ],
)
def test_other_errors_are_not_the_database_s(error: BaseException) -> None:
    assert not is_database_failure(error)


@pytest.mark.parametrize("run", [_raw, _orm])
@pytest.mark.parametrize(
    ("sql", "failed"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
        ("DO $$BEGIN RAISE disk_full; END$$", True),
        ("SELECT * FROM table_of_the_next_release", True),
        ("INSERT INTO org (id, name) VALUES ('a', 'a'), ('a', 'b')", False),
        ("SELECT 1 / 0", False),
        ("SELEC 1", False),
    ],
)
async def test_both_doors_of_a_real_database(
    database: Database, run: Run, sql: str, failed: bool
) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError)) as raised:
        await run(database, sql)
    assert is_database_failure(raised.value) is failed


@pytest.mark.parametrize("run", [_raw, _orm])
async def test_a_lock_that_another_transaction_keeps(database: Database, run: Run) -> None:
    async with database.transaction() as holder:
        await (await holder.connection()).execute(text("LOCK TABLE org"))
        with pytest.raises((asyncpg.PostgresError, DBAPIError)) as raised:
            await run(database, "SELECT * FROM org")
    assert is_database_failure(raised.value)


@pytest.mark.parametrize("run", [_raw, _orm])
async def test_a_table_that_a_migration_changes_under_its_statements(
    database: Database, run: Run
) -> None:
    query = "SELECT * FROM org"
    await run(database, query)
    await run(database, "ALTER TABLE org ALTER COLUMN name TYPE varchar(500)")
    try:
        await run(database, query)
    except (asyncpg.PostgresError, DBAPIError) as error:
        assert is_database_failure(error)  # noqa: PT017 - or it was prepared anew by itself
    await run(database, query)


async def test_a_wrong_password_and_a_database_that_is_not_there(settings: Settings) -> None:
    for url in (
        settings.database_url.replace("://", "://x", 1),
        f"{settings.database_url}_gone",
    ):
        async with Database.open(url) as database:
            for run in (_raw, _orm):
                with pytest.raises(Exception) as raised:  # noqa: PT011 - each door has its own
                    await run(database, "SELECT 1")
                assert is_database_failure(raised.value)
