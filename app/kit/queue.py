"""The bell: arq jobs that say a step may be due. If one is lost, the sweeper rings again."""

import time
from collections.abc import Callable, Iterable

import orjson
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.ids import new_id

RUN_STEP = "run_step"
_EXPIRES_MS = 3_600_000

log = get_logger(__name__)


def queue_key(prefix: str, queue: str) -> str:
    """The sorted set that arq reads."""
    return f"{prefix}:queue:{queue}"


def wake_key(prefix: str, queue: str) -> str:
    """The list that a waiting worker pops from."""
    return f"{prefix}:queue:{queue}:wake"


def wake_channel(prefix: str) -> str:
    """The channel on which readers hear of sessions that changed."""
    return f"{prefix}:wake"


class StepQueue:
    """Publishes steps to workers; every publish is a job of its own (arq refuses an id twice)."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def publish(
        self,
        steps: Iterable[tuple[str, str]],
        *,
        delay: float = 0.0,
        wake: str | None = None,
        last: Callable[[Pipeline], None] | None = None,
    ) -> None:
        """Ring for steps, given as (step id, queue), best effort, in one round trip.

        Args:
            steps: what became due, or becomes due after `delay`.
            delay: seconds.
            wake: a key whose waiting readers are woken in the same round trip.
            last: adds commands of the caller's own to it.
        """
        now = int(time.time() * 1000)
        pipe = self._redis.pipeline(transaction=False)
        queues = set()
        for step_id, queue in steps:
            job_id = new_id("job")
            job = serialize_job(RUN_STEP, (step_id,), {}, None, now, serializer=orjson.dumps)
            pipe.psetex(job_key_prefix + job_id, _EXPIRES_MS, job)
            pipe.zadd(queue_key(self._prefix, queue), {job_id: now + int(delay * 1000)})
            queues.add(queue)
        if wake is not None:
            pipe.publish(wake_channel(self._prefix), wake)
        for queue in queues if not delay else ():
            # One worker, who wakes the next if it cannot take all.
            pipe.lpush(wake_key(self._prefix, queue), b"1")
            # Nobody may be listening: the list must not grow for ever.
            pipe.ltrim(wake_key(self._prefix, queue), 0, 99)
        if last is not None:
            last(pipe)
        if not len(pipe):
            return
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("publish failed, the sweeper will find the steps", error=str(error))
