"""Bring a database's tables up to date: what `statewright migrate`, `dev` and the tests run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool
from structlog import get_logger

from app.db.engine import connect, create_engine
from app.db.pooler import check_session

log = get_logger(__name__)

_APP = Path(__file__).parents[1]
# A wheel carries the scripts inside the package; a checkout has them beside it.
_PLACES = (_APP / "migrations", _APP.parent / "migrations")
_ONE_AT_A_TIME = 7_265_831_904  # any number that no other user of advisory locks takes
_LOCKED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_PATIENCE_SECONDS = 300.0
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)


_AT_LEAST = "SELECT max(version_num) >= $1 FROM alembic_version"


class MigrationTimeoutError(RuntimeError):
    """Others used the tables for so long that the migration was given up."""


def scripts() -> Path:
    """The folder with the migrations."""
    return next(place for place in _PLACES if (place / "env.py").is_file())


@cache
def newest_migration() -> str:
    """The last migration of this release: files are named by ids, which sort in their order."""
    return max(file.name for file in (scripts() / "versions").glob("*_*.py")).partition("_")[0]


async def is_migrated(pool: asyncpg.Pool) -> bool:
    """Whether the database has the migrations of this release, and maybe of a newer one."""
    try:
        migrated: bool | None = await pool.fetchval(_AT_LEAST, newest_migration())
    except asyncpg.UndefinedTableError:
        return False
    return bool(migrated)


async def migrate(
    database_url: str,
    *,
    patience: float = _PATIENCE_SECONDS,
    say: Callable[[str], object] = log.warning,
) -> None:
    """Runs the migrations that the database does not have yet, each in a transaction of its own.

    A table that others use is asked for again and again, each time for no longer than the
    `lock_timeout` of all our connections: behind a lock that waits, every query would wait.
    Several processes may call this at once: the first works, the others wait and find it done.

    Args:
        database_url: any PostgreSQL URL.
        patience: seconds after which it is given up to wait for others. What is done may take any
            time: an index of many rows does.
        say: takes one line each time that something is waited for.

    Raises:
        SessionNeededError: the URL is a transaction pooler's.
        MigrationTimeoutError: others used the tables all the time; what was done so far stays.
        DatabaseUnreachableError, DBAPIError, asyncpg.PostgresError: the database cannot be
            reached, or a migration failed; those before it stay.
    """
    check_session(database_url)
    engine = create_engine(database_url, command_timeout=None, poolclass=NullPool)
    try:
        async with _lock_connection(database_url) as connection:
            until_done = partial(_until_done, _Patience(patience), say)
            await until_done(lambda: _lock(connection), "another process migrates")
            await until_done(lambda: _upgrade(engine), "the tables are in use")
    finally:
        await engine.dispose()


class _Patience:
    """How long others are waited for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self, pause: float) -> None:
        """Raises `MigrationTimeoutError` if a pause would go beyond it."""
        if time.monotonic() + pause > self._end:
            raise MigrationTimeoutError(
                f"The migrations were not done within {self._seconds:g} s: others use the tables,"
                " or migrate. What is done stays; run it again when they are done."
            )


@asynccontextmanager
async def _lock_connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for the lock alone: it outlives the migrations' transactions."""
    connection = await connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def _until_done(
    patience: _Patience,
    say: Callable[[str], object],
    attempt: Callable[[], Awaitable[bool]],
    obstacle: str,
) -> None:
    tries = 0
    while not await attempt():
        pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
        tries += 1
        patience.check(pause)
        say(f"Migrations wait: {obstacle}; trying again in {pause:g} s.")
        await asyncio.sleep(pause)


async def _lock(connection: asyncpg.Connection) -> bool:
    # Not `pg_advisory_lock`: CREATE INDEX CONCURRENTLY would wait for those that wait in it.
    got: bool = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _ONE_AT_A_TIME)
    return got


async def _upgrade(engine: AsyncEngine) -> bool:
    """Runs what is missing; False where a table could not be had in time."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_alembic)
    except DBAPIError as error:
        if isinstance(error.orig and error.orig.__cause__, _LOCKED):
            return False
        raise
    return True


def _run_alembic(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - an API that only looks does without it
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
