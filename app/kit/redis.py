"""A Redis client whose calls end soon, whatever the server does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from typing_extensions import override

# One command ends within this many seconds; a blocking one must ask for less.
COMMAND_SECONDS = 2.0


class _Connection(Connection):
    """Limits a send without a task of its own, which redis-py starts for each one."""

    @override
    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        limit, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(limit):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise RedisTimeoutError("Timeout writing to socket") from error
        finally:
            self.socket_timeout = limit


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """A client (bytes in, bytes out) that connects when first used; closed at the end.

    A lost connection is retried twice at once, as after a restart of the server. A timeout is
    not: the command may have been carried out, and callers go on without Redis.
    """
    plain = not url.startswith(("rediss:", "unix:"))
    connection: dict[str, Any] = {"connection_class": _Connection} if plain else {}
    client = Redis.from_url(
        url,
        **connection,
        socket_connect_timeout=2.0,
        socket_timeout=COMMAND_SECONDS,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(
            ExponentialBackoff(cap=0.2, base=0.02),
            retries=2,
            supported_errors=(RedisConnectionError,),
        ),
    )
    try:
        yield client
    finally:
        await client.aclose()
