"""Partial output: what an attempt has generated so far, kept in Redis while it runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.invokers.invoker import discard
from app.queue.keys import partial_key, wake_channel
from app.sessions.runtime import Runtime
from app.sessions.store.claim import Claim

_TTL_SECONDS = 600
_FLUSH_SECONDS = 0.05

# KEYS: where the text is. ARGV: the next piece, its time to live, the channel, the session.
_APPEND = """
redis.call('append', KEYS[1], ARGV[1])
redis.call('expire', KEYS[1], ARGV[2])
redis.call('publish', ARGV[3], ARGV[4])"""


async def read_partial(redis: Redis, namespace: str, step_id: str, attempt: int) -> str:
    """The text that an attempt has generated so far; "" if there is none, or Redis is away."""
    try:
        raw = await redis.get(partial_key(namespace, step_id, attempt))
    except (RedisError, OSError):
        return ""
    return raw.decode() if raw else ""


@contextmanager
def partial_output(runtime: Runtime, claim: Claim) -> Iterator[Callable[[str], Awaitable[None]]]:
    """Takes what an attempt emits; readers are shown it where it is the answer itself."""
    if not claim.makes_answer:
        yield discard
        return
    writer = PartialWriter(runtime, claim)
    try:
        yield writer.emit
    finally:
        writer.close()


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
        self._later: asyncio.Task[None] | None = None

    async def emit(self, text: str) -> None:
        """Takes the next piece."""
        self._pending.append(text)
        pause = self._flushed + _FLUSH_SECONDS - time.monotonic()
        if pause <= 0:
            await self._flush()
        elif self._later is None:  # a model that stalls now must not hold back what it said
            self._later = asyncio.create_task(self._flush_after(pause))

    def close(self) -> None:
        """Writes nothing more: the whole answer is there, or none is wanted."""
        if self._later is not None:
            self._later.cancel()

    async def _flush_after(self, pause: float) -> None:
        await asyncio.sleep(pause)
        self._later = None
        await self._flush()

    async def _flush(self) -> None:
        async with self._lock:
            text, self._pending = "".join(self._pending), []
            self._flushed = time.monotonic()
            try:
                await self._append(keys=[self._key], args=[text, _TTL_SECONDS, *self._wake])
            except (RedisError, OSError):
                return
