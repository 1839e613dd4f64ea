"""Wake-ups: notify whoever waits for a key that it changed; a lost one is found by a slow look."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.concurrency.holds import held
from app.kit.concurrency.tasks import end_tasks
from app.kit.redis import LimitedRedis
from app.queue.keys import wake_channel
from app.queue.subscription import Subscription
from app.quotas import QuotaExceededError

T = TypeVar("T")
# Of keys and seconds: those keys which changed within so many seconds, or are gone.
Changed = Callable[[dict[str, float]], Awaitable[set[str]]]
log = get_logger(__name__)

_LOOK_SECONDS = 5.0
_LOOK_SECONDS_WITHOUT_REDIS = 0.5
_MARGIN_SECONDS = 2.0  # a change has the time of its statement, not of its commit
_NOTIFY_SECONDS = 0.1
_CROWDED_SECONDS = 5.0


class _Wait:
    """One task that waits for a key: its event, and when it last checked."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.checked = 0.0


class Wakeups:
    """Redis publish/subscribe on one channel, and the local tasks that wait for its keys."""

    def __init__(self, redis: LimitedRedis, namespace: str, changed: Changed) -> None:
        self._redis = redis
        self._channel = wake_channel(namespace)
        self._changed = changed
        self._subscription = Subscription(redis, self._channel, self._wake)
        self._waiting: dict[str, set[_Wait]] = defaultdict(set)
        self._soon: set[str] = set()
        self._sending: asyncio.Task[None] | None = None
        self._ended = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, redis: LimitedRedis, namespace: str, changed: Changed, *, listen: bool = True
    ) -> AsyncIterator["Wakeups"]:
        """Wake-ups that are received while the block lasts; without `listen` only sent."""
        wakeups = cls(redis, namespace, changed)
        work = [wakeups._subscription.listen(), wakeups._look_for_ever()] if listen else []
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield wakeups
        finally:
            await end_tasks(*tasks, *([wakeups._sending] if wakeups._sending else []))

    async def notify(self, key: str) -> None:
        """Wakes everybody who waits for the key, in every process; best effort."""
        try:
            await self._redis.publish(self._channel, key)
        except (RedisError, OSError) as error:
            log.warning("wake-up lost", error=type(error).__name__)

    def notify_soon(self, key: str) -> None:
        """Wakes them within a moment, once for all calls of that moment."""
        self._soon.add(key)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_soon())

    def end_waits(self) -> None:
        """Ends all waits with what is known, also those that are still to begin."""
        self._ended = True
        for key in list(self._waiting):
            self._wake(key)

    @property
    def are_ended(self) -> bool:
        """Whether a wait that gave nothing may have been ended before its time."""
        return self._ended

    async def until(
        self,
        key: str,
        check: Callable[[], Awaitable[T | None]],
        seconds: float,
        *,
        most: int | None = None,
    ) -> T | None:
        """What `check` gives, as soon as it gives something; None when the time is up or all end.

        It is asked at once, after each wake-up of the key, and where a look at the database finds
        that the key changed without one.

        Args:
            key: what is waited for.
            check: looks at it.
            seconds: most that it waits.
            most: that may wait for the key here, as each of them looks at it after a wake-up.

        Raises:
            QuotaExceededError: it would have to wait, and so many do.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        wait = _Wait()
        self._waiting[key].add(wait)
        try:
            while True:
                wait.event.clear()
                wait.checked = loop.time()
                found = await check()
                left = deadline - loop.time()
                if found is not None or left <= 0 or self._ended:
                    return found
                if most is not None and len(self._waiting[key]) > most:
                    raise QuotaExceededError(
                        "session-waits",
                        f"{most:,} requests wait for this session, the most that may at once.",
                        retry_after=_CROWDED_SECONDS,
                    )
                async with held():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await wait.event.wait()
        finally:
            self._waiting[key].discard(wait)
            if not self._waiting[key]:
                del self._waiting[key]

    def _wake(self, key: str) -> None:
        for wait in self._waiting.get(key, ()):
            wait.event.set()

    async def _send_soon(self) -> None:
        await asyncio.sleep(_NOTIFY_SECONDS)
        keys, self._soon, self._sending = self._soon, set(), None
        for key in keys:
            await self.notify(key)

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(_LOOK_SECONDS_WITHOUT_REDIS)
            works = self._redis.works and self._subscription.is_open
            if not self._waiting or (works and loop.time() - looked < _LOOK_SECONDS):
                continue
            looked = loop.time()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                log.warning("waits not looked after", error=type(error).__name__)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        ages = {
            key: now - min(wait.checked for wait in waits) + _MARGIN_SECONDS
            for key, waits in self._waiting.items()
        }
        for key in await self._changed(ages):
            self._wake(key)
