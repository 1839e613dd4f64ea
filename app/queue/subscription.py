"""Receives what is published on a Redis channel, for as long as a task runs."""

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.redis import COMMAND_SECONDS, LimitedRedis

log = get_logger(__name__)

_RECONNECT_SECONDS = 0.5
_PING_SECONDS = 5.0


class Subscription:
    """One channel, with the state of its connection.

    Args:
        redis: where the channel is.
        channel: its name.
        received: called with each message.
    """

    def __init__(self, redis: LimitedRedis, channel: str, received: Callable[[str], None]) -> None:
        self.is_open = False
        self._redis = redis
        self._channel = channel
        self._received = received

    async def listen(self) -> None:
        """Listens for ever, over a new connection after each fault."""
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError, TimeoutError) as error:
                if self.is_open:
                    log.warning("subscription lost", error=type(error).__name__)
            finally:
                self.is_open = False
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        pubsub = self._redis.pubsub()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await pubsub.subscribe(self._channel)
            loop = asyncio.get_running_loop()
            answered = loop.time()
            while True:
                message = await pubsub.get_message(timeout=_PING_SECONDS)
                if message is not None:
                    answered = loop.time()
                    self._take(message)
                elif loop.time() - answered > 2 * _PING_SECONDS:
                    raise TimeoutError  # not even the ping was answered
                else:
                    async with asyncio.timeout(COMMAND_SECONDS):
                        await pubsub.ping()
        finally:
            async with asyncio.timeout(COMMAND_SECONDS):
                await pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py has few types

    def _take(self, message: dict[str, bytes | str]) -> None:
        if message["type"] == "subscribe":
            self.is_open = True
        elif message["type"] == "message" and isinstance(data := message["data"], bytes):
            self._received(data.decode())
