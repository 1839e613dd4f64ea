"""The session's lock in Redis: it keeps crowds off the database; correctness never needs it."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.exceptions import RedisError
from structlog import get_logger

from app.errors import SessionBusyError
from app.kit.redis import LimitedRedis
from app.settings import SessionSettings

log = get_logger(__name__)

# Only the holder may release or extend: the token tells.
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"
_EXTEND = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then "
    "return redis.call('pexpire', KEYS[1], ARGV[2]) end"
)


class HeldLock:
    """A session's lock, held by one request and extended for as long as that lasts."""

    def __init__(self, redis: LimitedRedis, key: str, ttl_ms: int) -> None:
        self._redis = redis
        self._key = key
        self._token = secrets.token_hex(8)
        self._ttl_ms = ttl_ms
        self._renewal: asyncio.TimerHandle | None = None
        self._extending: asyncio.Task[None] | None = None
        self._released = False

    async def acquire(self, seconds: float) -> None:
        """Gets the lock.

        Raises:
            SessionBusyError: others hold it for longer than `seconds`.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        pause = 0.002
        while not await self._redis.set(self._key, self._token, nx=True, px=self._ttl_ms):
            if asyncio.get_running_loop().time() >= deadline:
                raise SessionBusyError("The session is busy; try again.", retry_after=1)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(pause * 2, 0.05)
        self._renew_later()

    def hand_over(self) -> tuple[str, str]:
        """Its key and token, for who releases it with other commands that have to be sent."""
        self._released = True
        return self._key, self._token

    async def release(self) -> None:
        """Gives it back, unless it was handed over."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._extending is not None:
            self._extending.cancel()
        if self._released:
            return
        try:
            await self._eval(_RELEASE)
        except (RedisError, OSError) as error:
            log.warning("session lock left to its expiry", error=type(error).__name__)
            self.release_later()

    def release_later(self) -> None:
        """Gives it back when Redis works again, which may carry out what it did not answer."""
        self._redis.when_it_works(lambda: self._eval(_RELEASE))

    async def _eval(self, script: str, *arguments: str) -> None:
        # Typed for the blocking client too.
        done: Any = self._redis.eval(script, 1, self._key, self._token, *arguments)
        await done

    def _renew_later(self) -> None:
        # A timer, not a task: nearly every lock is back before it is due.
        loop = asyncio.get_running_loop()
        self._renewal = loop.call_later(self._ttl_ms / 3000, self._renew)

    def _renew(self) -> None:
        self._extending = asyncio.create_task(self._extend())

    async def _extend(self) -> None:
        try:
            await self._eval(_EXTEND, str(self._ttl_ms))
        except (RedisError, OSError) as error:
            log.warning("session lock not renewed", error=type(error).__name__)
        self._renew_later()


class SessionLocks:
    """Locks of sessions, one holder at a time over all API processes."""

    def __init__(self, redis: LimitedRedis, namespace: str, settings: SessionSettings) -> None:
        self._redis = redis
        self._namespace = namespace
        self._wait = settings.lock_wait_seconds
        self._ttl_ms = int(settings.lock_ttl_seconds * 1000)

    @asynccontextmanager
    async def hold(self, session_id: str) -> AsyncIterator[HeldLock | None]:
        """Holds the lock while the block lasts. Without Redis the block runs all the same.

        Raises:
            SessionBusyError: others hold it for longer than the wait budget.
        """
        lock = HeldLock(self._redis, f"{self._namespace}:lock:{session_id}", self._ttl_ms)
        try:
            await lock.acquire(self._wait)
        except (RedisError, OSError) as error:
            log.info("no session lock: redis is away", error=type(error).__name__)
            lock.release_later()
            yield None
            return
        try:
            yield lock
        finally:
            await lock.release()
