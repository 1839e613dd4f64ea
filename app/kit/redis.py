"""A Redis client whose calls end soon, whatever the server does."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from typing_extensions import override

# One command ends within this many seconds; a blocking one must ask for less.
COMMAND_SECONDS = 2.0


class _Connection(Connection):
    """Sends without a task and a timer for each command, as redis-py does with a timeout.

    A server that hangs is noticed when its answer is read.
    """

    @override
    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call] # redis-py has few types
        limit, self.socket_timeout = self.socket_timeout, None
        try:
            await super().send_packed_command(command, check_health)
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
