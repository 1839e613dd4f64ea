"""The two doors to PostgreSQL: an ORM engine for CRUD, and a raw asyncpg pool for the hot path."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

# A stuck transaction must never hold a session row for long: the design's two time limits.
SERVER_SETTINGS = {
    "application_name": "statewright",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
}

UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ends just when a query is sent over it
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)


def driver_url(database_url: str) -> str:
    """The SQLAlchemy form (`postgresql+asyncpg://`) of a plain `postgresql://` URL."""
    _, separator, rest = database_url.partition("://")
    return f"postgresql+asyncpg{separator}{rest}"


def plain_url(database_url: str) -> str:
    """The libpq form (`postgresql://`) of any PostgreSQL URL."""
    _, separator, rest = database_url.partition("://")
    return f"postgresql{separator}{rest}"


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    """Make json and jsonb columns Python values on raw connections."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )


async def _keep_as_is(_connection: asyncpg.Connection) -> None:
    """No reset query after each use: what the pool runs leaves nothing behind in a connection."""


class Database:
    """PostgreSQL as one process sees it. Open with `async with Database.open(url)`.

    Attributes:
        engine: SQLAlchemy engine for the ORM: `async with database.transaction() as db`.
        pool: asyncpg pool for the paths of a turn, which use few prepared statements.
    """

    def __init__(self, engine: AsyncEngine, pool: asyncpg.Pool) -> None:
        self.engine = engine
        self.pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, *, pool_size: int = 8) -> AsyncIterator["Database"]:
        """Connect lazily; close both doors at the end."""
        engine = create_async_engine(
            driver_url(database_url),
            pool_size=5,
            max_overflow=15,
            pool_pre_ping=True,
            hide_parameters=True,  # they may be secrets, and errors are logged
            connect_args={"server_settings": SERVER_SETTINGS, "timeout": 5},
        )
        pool = asyncpg.create_pool(
            plain_url(database_url),
            min_size=0,
            max_size=pool_size,
            init=_prepare_connection,
            reset=_keep_as_is,
            server_settings=SERVER_SETTINGS,
            timeout=5,
            command_timeout=30,
        )
        async with pool:
            try:
                yield cls(engine, pool)
            finally:
                await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as db, db.begin():
            yield db


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL cannot be reached now, in any of its shapes."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(
            error.orig and error.orig.__cause__, UNAVAILABLE
        )
    return isinstance(error, UNAVAILABLE)
