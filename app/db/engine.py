"""The two doors to PostgreSQL: an ORM engine for CRUD, and a raw asyncpg pool for the hot path."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only
from sqlmodel.ext.asyncio.session import AsyncSession
from typing_extensions import override

from app.db.address import MARGIN_SECONDS, PATIENCE_SECONDS, connection_options
from app.db.pooler import PooledConnection, is_pooled
from app.db.shares import ListPlaces
from app.kit.concurrency.off_loop import off_loop
from app.settings.http import ListSettings
from app.sizes.limit import is_long

# A statement that was given up is cancelled; a server that does not say so by then hangs.
_CANCEL_SECONDS = 0.5


PAGE_BYTES = "page_bytes"  # in the `info` of a transaction: most bytes of a page


class EncodedJson(str):
    """JSON as it is written: a parameter that was encoded already, where that takes long."""

    __slots__ = ()


class DatabaseUnreachableError(Exception):
    """A lack of any way to PostgreSQL, or of its answer in time; the cause says which."""


UNAVAILABLE = (
    DatabaseUnreachableError,
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ends just when a query is sent over it
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)


async def connect(
    database_url: str, *, command_timeout: float | None = PATIENCE_SECONDS, **options: Any
) -> asyncpg.Connection:
    """Opens a connection with the settings that all of ours have.

    Args:
        database_url: any PostgreSQL URL, with any parameters of libpq's. Those that asyncpg does
            not have, such as `channel_binding`, are left out.
        command_timeout: seconds after which a statement is given up; by the server a bit before.
            None, of what may take any time: neither of them gives it up.
        options: of `asyncpg.connect`.

    Raises:
        DatabaseUnreachableError: nobody answers there.
        asyncpg.PostgresError: the server refuses.
    """
    url, defaults = connection_options(database_url, command_timeout)
    try:
        return await asyncpg.connect(
            url, command_timeout=command_timeout, **{**defaults, **options}
        )
    except OSError as error:
        raise DatabaseUnreachableError("no connection to PostgreSQL") from error


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    """Makes json and jsonb columns Python values on raw connections."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=_encode,
            decoder=orjson.loads,
        )


def _encode(value: Any) -> str:
    return value if isinstance(value, EncodedJson) else orjson.dumps(value).decode()


def _encode_for_orm(value: Any) -> str:
    """JSON of a value: SQLAlchemy calls this in a greenlet, in which a thread can be waited for."""
    return await_only(off_loop(partial(_encode, value), heavy=is_long(value)))


async def _keep_as_is(_connection: asyncpg.Connection) -> None:
    """Runs no reset query after a use: what the pool runs leaves nothing behind in a connection."""


class _Acquired:
    """A connection of the pool while a block lasts; what takes too long is the database's fault."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        self._connection: Any = None

    async def __aenter__(self) -> Any:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._connection = await asyncpg.Pool.acquire(self._pool)
        except TimeoutError as error:
            raise DatabaseUnreachableError("no free connection to PostgreSQL") from error
        return self._connection

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            await self._pool.release(self._connection, timeout=_CANCEL_SECONDS)
        except TimeoutError:  # then it was closed
            error = error or TimeoutError()
        if isinstance(error, OSError):
            raise DatabaseUnreachableError("no answer of PostgreSQL") from error


class _Pool(asyncpg.Pool):  # type: ignore[misc]  # asyncpg has no types
    """A pool whose connections are not waited for without end, nor are their answers."""

    @override
    def acquire(self) -> _Acquired:
        return _Acquired(self)


def create_engine(
    database_url: str, *, command_timeout: float | None = PATIENCE_SECONDS, **options: Any
) -> AsyncEngine:
    """An engine of SQLAlchemy over `connect`; `options` are those of `create_async_engine`."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(connect, database_url, command_timeout=command_timeout),
        # A pooler's: nothing is left behind in the connection of the server.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
        if is_pooled(database_url)
        else {},
        hide_parameters=True,  # they may be secrets, and errors are logged
        json_serializer=_encode_for_orm,
        json_deserializer=orjson.loads,
        **options,
    )
    event.listen(engine.sync_engine, "handle_error", _unreachable)
    event.listen(engine.sync_engine, "invalidate", _terminate)
    event.listen(engine.sync_engine, "checkout", _ping)
    return engine


def _unreachable(context: ExceptionContext) -> Exception | None:
    """Gives a connection up that did not answer in time: not even a rollback would end."""
    if not isinstance(context.original_exception, OSError):
        return None
    context.is_disconnect = True
    return DatabaseUnreachableError("no answer of PostgreSQL")


def _terminate(connection: Any, *_: Any) -> None:
    """Closes it now, without the message that a server that hangs would not answer."""
    connection.driver_connection.terminate()


def _ping(connection: Any, *_: Any) -> None:
    """Does what `pool_pre_ping` does; but a server that hangs raises an error of its own."""
    try:
        connection.ping()
    except OSError as error:
        raise DatabaseUnreachableError("no answer of PostgreSQL") from error
    except connection.dbapi.Error as error:
        raise InvalidatePoolError from error  # it was lost while idle: a new one is made


class Database:
    """The PostgreSQL of one process. Open with `async with Database.open(url)`.

    Attributes:
        engine: SQLAlchemy engine for the ORM: `async with database.transaction() as db`.
        pool: asyncpg pool for the paths of a turn, which use few prepared statements.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        lists: AsyncEngine,
        pool: asyncpg.Pool,
        shares: ListPlaces,
        page_bytes: int,
    ) -> None:
        self.engine = engine
        self.pool = pool
        self._lists = lists
        self._shares = shares
        self._page = {PAGE_BYTES: page_bytes}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database_url: str, *, pool_size: int = 8, lists: ListSettings | None = None
    ) -> AsyncIterator["Database"]:
        """Connects lazily; closes the engines and the pool at the end.

        Args:
            database_url: any PostgreSQL URL.
            pool_size: connections for turns.
            lists: connections for lists and searches, and how orgs share them.
        """
        lists = lists or ListSettings()
        engine = create_engine(
            database_url, pool_size=5, max_overflow=10, pool_timeout=PATIENCE_SECONDS
        )
        list_engine = create_engine(
            database_url,
            command_timeout=lists.statement_seconds + MARGIN_SECONDS,
            pool_size=lists.pool_size,
            max_overflow=0,
            pool_timeout=PATIENCE_SECONDS,
        )
        pool = _Pool(
            database_url,
            connect=connect,
            min_size=0,
            max_size=pool_size,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            init=_prepare_connection,
            reset=_keep_as_is,
            loop=None,
            connection_class=PooledConnection if is_pooled(database_url) else asyncpg.Connection,
            record_class=asyncpg.Record,
        )
        async with pool:
            try:
                yield cls(engine, list_engine, pool, _shares(lists), lists.page_bytes)
            finally:
                await list_engine.dispose()
                await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with (
            AsyncSession(self.engine, expire_on_commit=False, info=self._page) as db,
            db.begin(),
        ):
            yield db

    @asynccontextmanager
    async def listing(self, org_id: str) -> AsyncIterator[AsyncSession]:
        """One transaction of a list or a search of an org.

        It has few connections, which turns do not need, and the orgs share them; its statements
        end sooner.

        Raises:
            QuotaExceededError: too many lists and searches of the org wait already.
            UnavailableError: no connection became free in time.
        """
        async with (
            self._shares.place(org_id),
            AsyncSession(self._lists, expire_on_commit=False, info=self._page) as db,
            db.begin(),
        ):
            yield db


def _shares(lists: ListSettings) -> ListPlaces:
    return ListPlaces(
        lists.pool_size,
        each=lists.org_connections,
        waiting=lists.org_waiting,
        seconds=lists.wait_seconds,
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether an error means that PostgreSQL cannot be reached now, in any of its shapes."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(
            error.orig and error.orig.__cause__, UNAVAILABLE
        )
    return isinstance(error, UNAVAILABLE)
