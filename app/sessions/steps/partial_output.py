"""Partial output: what an attempt has generated so far, kept in Redis while it runs."""

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.queue.keys import wake_channel
from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim

_TTL_SECONDS = 600
_FLUSH_SECONDS = 0.05

# KEYS: where the text is. ARGV: the next piece, its time to live, the channel, the session.
_APPEND = """
redis.call('append', KEYS[1], ARGV[1])
redis.call('expire', KEYS[1], ARGV[2])
redis.call('publish', ARGV[3], ARGV[4])"""


def partial_key(namespace: str, step_id: str, attempt: int) -> str:
    """Where the text of one attempt is."""
    return f"{namespace}:partial:{step_id}:{attempt}"


async def read_partial(redis: Redis, namespace: str, step_id: str, attempt: int) -> str:
    """The text that an attempt has generated so far; "" if there is none, or Redis is away."""
    try:
        raw = await redis.get(partial_key(namespace, step_id, attempt))
    except (RedisError, OSError):
        return ""
    return raw.decode() if raw else ""


class PartialWriter:
    """Collects what an attempt emits, and shows it to readers every 50 ms at the most.

    An answer that is there within the first 50 ms is never written.
    """

    def __init__(self, runtime: Runtime, claim: Claim) -> None:
        namespace = runtime.settings.redis_namespace
        self._append = runtime.redis.register_script(_APPEND)
        self._key = partial_key(namespace, claim.step_id, claim.attempt)
        self._wake = (wake_channel(namespace), claim.session.id)
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
                await self._append(keys=[self._key], args=[text, _TTL_SECONDS, *self._wake])
            except (RedisError, OSError):
                return
