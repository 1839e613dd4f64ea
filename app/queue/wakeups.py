"""Wake-ups: notify whoever waits for a key that it changed; a lost one costs one poll."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.tasks import end_tasks
from app.queue.publisher import wake_channel

T = TypeVar("T")
log = get_logger(__name__)

_POLL_SECONDS = 0.5
_RECONNECT_SECONDS = 0.5


class Wakeups:
    """Redis publish/subscribe on one channel, and the local tasks that wait for its keys."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._channel = wake_channel(prefix)
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis: Redis, prefix: str, *, listen: bool = True
    ) -> AsyncIterator["Wakeups"]:
        """Wake-ups that are received while the block lasts; without `listen` only sent."""
        wakeups = cls(redis, prefix)
        tasks = [asyncio.create_task(wakeups._listen())] if listen else []
        try:
            yield wakeups
        finally:
            await end_tasks(*tasks)

    async def notify(self, key: str) -> None:
        """Wake everybody who waits for the key, in every process; best effort."""
        try:
            await self._redis.publish(self._channel, key)
        except (RedisError, OSError) as error:
            log.warning("wake-up lost", error=str(error))

    async def until(
        self, key: str, check: Callable[[], Awaitable[T | None]], seconds: float
    ) -> T | None:
        """What `check` gives, as soon as it gives something; None when the time is up.

        It is asked at once, after each wake-up of the key, and each half second.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        event = asyncio.Event()
        self._waiting[key].add(event)
        try:
            while True:
                event.clear()
                found = await check()
                left = deadline - asyncio.get_running_loop().time()
                if found is not None or left <= 0:
                    return found
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, _POLL_SECONDS)):
                        await event.wait()
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                log.warning("wake-ups interrupted", error=str(error))
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(self._channel)
            while True:
                message = await pubsub.get_message(timeout=1.0)
                if message is not None:
                    for event in self._waiting.get(message["data"].decode(), ()):
                        event.set()
