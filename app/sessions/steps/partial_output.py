"""Partial output: what an attempt has generated so far, kept in Redis while it runs."""

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim

_TTL_SECONDS = 600
_FLUSH_SECONDS = 0.05


def partial_key(prefix: str, step_id: str, attempt: int) -> str:
    """Where the text of one attempt is."""
    return f"{prefix}:partial:{step_id}:{attempt}"


async def read_partial(redis: Redis, prefix: str, step_id: str, attempt: int) -> str:
    """The text that an attempt has generated so far; "" if there is none, or Redis is away."""
    try:
        raw = await redis.get(partial_key(prefix, step_id, attempt))
    except (RedisError, OSError):
        return ""
    return raw.decode() if raw else ""


class PartialWriter:
    """Collects what an attempt emits, and shows it to readers every 50 ms at the most.

    An answer that is there within the first 50 ms is never written.
    """

    def __init__(self, runtime: Runtime, claim: Claim) -> None:
        self._redis = runtime.redis
        self._wakeups = runtime.wakeups
        self._session_id = claim.session.id
        prefix = runtime.settings.redis_prefix
        self._key = partial_key(prefix, claim.step_id, claim.attempt)
        self._pending: list[str] = []
        self._flushed = time.monotonic()
        self._lock = asyncio.Lock()

    async def emit(self, text: str) -> None:
        """Take the next piece."""
        self._pending.append(text)
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            await self._flush()

    async def _flush(self) -> None:
        async with self._lock:
            text, self._pending = "".join(self._pending), []
            self._flushed = time.monotonic()
            try:
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.append(self._key, text)
                    pipe.expire(self._key, _TTL_SECONDS)
                    await pipe.execute()
            except (RedisError, OSError):
                return
        await self._wakeups.notify(self._session_id)
