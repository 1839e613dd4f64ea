"""The session's lock in Redis: it keeps crowds off the database; correctness never needs it."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from app.errors import SessionBusyError
from app.settings import SessionSettings

log = get_logger(__name__)

# Only the holder may release or extend: the token tells.
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"
_EXTEND = (
    "if redis.call('get', KEYS[1]) == ARGV[1] then "
    "return redis.call('pexpire', KEYS[1], ARGV[2]) end"
)


class SessionLocks:
    """Locks of sessions, one holder at a time over all API processes."""

    def __init__(self, redis: Redis, prefix: str, settings: SessionSettings) -> None:
        self._redis = redis
        self._prefix = prefix
        self._wait = settings.lock_wait_seconds
        self._ttl_ms = int(settings.lock_ttl_seconds * 1000)
        self._release = redis.register_script(_RELEASE)
        self._extend = redis.register_script(_EXTEND)

    @asynccontextmanager
    async def hold(self, session_id: str) -> AsyncIterator[None]:
        """Hold the lock while the block lasts. Without Redis the block runs all the same.

        Raises:
            SessionBusyError: others hold it for longer than the wait budget.
        """
        key, token = f"{self._prefix}:lock:{session_id}", secrets.token_hex(8)
        try:
            await self._acquire(key, token)
        except (RedisError, OSError) as error:
            log.warning("no session lock: redis is away", error=str(error))
            yield
            return
        renewal = asyncio.create_task(self._renew(key, token))
        try:
            yield
        finally:
            renewal.cancel()
            await self._give_back(key, token)

    async def _acquire(self, key: str, token: str) -> None:
        deadline = asyncio.get_running_loop().time() + self._wait
        pause = 0.002
        while not await self._redis.set(key, token, nx=True, px=self._ttl_ms):
            if asyncio.get_running_loop().time() >= deadline:
                raise SessionBusyError("The session is busy; try again.", retry_after=1)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(pause * 2, 0.05)

    async def _renew(self, key: str, token: str) -> None:
        while True:
            await asyncio.sleep(self._ttl_ms / 3000)
            try:
                await self._extend(keys=[key], args=[token, self._ttl_ms])
            except (RedisError, OSError) as error:
                log.warning("session lock not renewed", error=str(error))

    async def _give_back(self, key: str, token: str) -> None:
        try:
            await self._release(keys=[key], args=[token])
        except (RedisError, OSError) as error:
            log.warning("session lock left to its expiry", error=str(error))
