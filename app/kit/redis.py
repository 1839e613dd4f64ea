"""A Redis client whose calls end soon, whatever the server does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

# One command ends within this many seconds; a blocking one must ask for less.
COMMAND_SECONDS = 5.0


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """A client (bytes in, bytes out) that connects when first used; closed at the end.

    A lost connection is retried twice at once, as after a restart of the server. A timeout is
    not: the command may have been carried out, and callers go on without Redis.
    """
    client = Redis.from_url(
        url,
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
