"""Receives the notifications of PostgreSQL: what other processes committed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from structlog import get_logger

from app.db.engine import UNAVAILABLE, connect
from app.db.pooler import is_pooled

log = get_logger(__name__)

_RECONNECT_SECONDS = 1.0


async def listen(
    database_url: str,
    channel: str,
    *,
    began: Callable[[], None],
    heard: Callable[[str], None],
    ended: Callable[[], None],
) -> None:
    """Listens to a channel for ever, over a connection of its own; never through a pooler.

    Args:
        database_url: any PostgreSQL URL.
        channel: letters and underscores.
        began: called once every notification from now on is heard.
        heard: called with the payload of each.
        ended: called when the connection is lost; `began` follows when there is a new one.
    """
    if is_pooled(database_url):
        log.warning("notifications are not heard through a transaction pooler", channel=channel)
        return
    while True:
        try:
            async with _connection(database_url) as connection:
                gone = asyncio.Event()
                connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
                await connection.add_listener(channel, lambda *notified: heard(notified[-1]))
                began()
                try:
                    await gone.wait()
                finally:
                    ended()
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("notifications are not heard", error=type(error).__name__)
        await asyncio.sleep(_RECONNECT_SECONDS)


@asynccontextmanager
async def _connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url)
    try:
        yield connection
    finally:
        connection.terminate()
