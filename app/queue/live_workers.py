"""The workers that live, as they say in Redis: which queues they serve, and with which code."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from enum import Enum, auto

import orjson
from redis.exceptions import RedisError

from app.kit.ids import new_id
from app.kit.redis import LimitedRedis
from app.queue.keys import worker_key

_BEAT_SECONDS = 2.0
_TTL_SECONDS = 6
_LOOK_SECONDS = 0.5


class Served(Enum):
    """Whether a worker that lives serves a queue with some code."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()  # Redis did not say


def unserved_text(queue: str) -> str:
    """The warning about a queue that no worker serves."""
    return f"No worker serves the queue {queue!r}: its steps wait until one does."


class LiveWorkers:
    """Each worker has a key, which readiness looks for too; it lapses when the worker dies."""

    def __init__(self, redis: LimitedRedis, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._lock = asyncio.Lock()
        self._looked = float("-inf")
        # (queue, fingerprint of the flows in code); None: Redis did not say.
        self._serving: set[tuple[str, str]] | None = None

    async def show(self, queues: Collection[str], fingerprints: Collection[str]) -> None:
        """Says, until cancelled, that a worker serves queues with the code of the fingerprints."""
        key = worker_key(self._namespace, new_id("wrk"))
        value = orjson.dumps({"queues": [*queues], "fingerprints": [*fingerprints]})
        try:
            while True:
                with suppress(RedisError, OSError):
                    await self._redis.set(key, value, ex=_TTL_SECONDS)
                await asyncio.sleep(_BEAT_SECONDS)
        finally:
            with suppress(RedisError, OSError):
                await self._redis.delete(key)

    async def unserved(self, queues: Collection[str]) -> list[str]:
        """Those of some queues that no worker that lives serves; none where Redis did not say."""
        if not queues or (serving := await self._current()) is None:
            return []
        served = {queue for queue, _ in serving}
        return sorted({*queues} - served)

    async def serve(self, queue: str, fingerprint: str) -> Served:
        """Whether a worker that lives serves the queue with that code."""
        serving = await self._current()
        if serving is None:
            return Served.UNKNOWN
        return Served.YES if (queue, fingerprint) in serving else Served.NO

    async def _current(self) -> set[tuple[str, str]] | None:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._looked > _LOOK_SECONDS:
                self._looked = now
                try:
                    self._serving = await self._look()
                except (RedisError, OSError):
                    self._serving = None
        return self._serving

    async def _look(self) -> set[tuple[str, str]]:
        pattern = worker_key(self._namespace, "*")
        keys = [key async for key in self._redis.scan_iter(match=pattern, count=1000)]
        values = await self._redis.mget(keys) if keys else []
        # A worker of the release before says nothing but that it lives.
        shown = [orjson.loads(value) for value in values if value and value[:1] == b"{"]
        return {
            (queue, fingerprint)
            for worker in shown
            for queue in worker["queues"]
            for fingerprint in worker["fingerprints"]
        }
