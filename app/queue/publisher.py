"""Publishes steps that may be due. A lost one is published again by the sweeper."""

import time
from collections.abc import Iterable

import orjson
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.ids import new_id

RUN_STEP = "run_step"
_EXPIRES_MS = 3_600_000
_FIRST = 20  # steps of one publish that do not wait for others

log = get_logger(__name__)


def queue_key(prefix: str, queue: str) -> str:
    """The sorted set that arq reads."""
    return f"{prefix}:queue:{queue}"


def bulk_key(prefix: str, queue: str) -> str:
    """The sorted set of what can wait for others: all but the first steps of a large map."""
    return f"{queue_key(prefix, queue)}:bulk"


def wake_key(prefix: str, queue: str) -> str:
    """The list that a waiting worker pops from."""
    return f"{prefix}:queue:{queue}:wake"


def wake_channel(prefix: str) -> str:
    """The channel of the ids of sessions that changed."""
    return f"{prefix}:wake"


# One script, since each command of a pipeline costs the client as much as this whole one.
# ARGV: channel, its message or "", lock token, time to live of jobs in ms, when they are due,
# whether to wake a worker, then for each job: queue, wake list, id, payload. KEYS: a lock, if any.
_PUBLISH = """
for first = 7, #ARGV, 4 do
  local queue, wake, id, job = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]
  redis.call('psetex', id, ARGV[4], job)
  redis.call('zadd', queue, ARGV[5], string.sub(id, #'KEY_PREFIX' + 1))
  if ARGV[6] == '1' and redis.call('llen', wake) == 0 then
    redis.call('lpush', wake, '1')
  end
end
if ARGV[2] ~= '' then redis.call('publish', ARGV[1], ARGV[2]) end
if KEYS[1] and redis.call('get', KEYS[1]) == ARGV[3] then redis.call('del', KEYS[1]) end
"""


class StepQueue:
    """Publishes steps to workers; every publish is a job of its own (arq refuses an id twice)."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._publish = redis.register_script(_PUBLISH.replace("KEY_PREFIX", job_key_prefix))

    async def publish(
        self,
        steps: Iterable[tuple[str, str]],
        *,
        delay: float = 0.0,
        wake: str | None = None,
        unlock: tuple[str, str] | None = None,
    ) -> None:
        """Publish steps, given as (step id, queue), best effort, in one round trip.

        Args:
            steps: what became due, or becomes due after `delay`.
            delay: seconds.
            wake: a key whose waiting readers are woken in the same round trip.
            unlock: a lock that is released in it, and its holder's token.
        """
        now = int(time.time() * 1000)
        jobs: list[str | bytes] = []
        for number, (step_id, queue) in enumerate(steps):
            job = serialize_job(RUN_STEP, (step_id,), {}, None, now, serializer=orjson.dumps)
            job_key = job_key_prefix + new_id("job")
            place = (queue_key if number < _FIRST else bulk_key)(self._prefix, queue)
            jobs += (place, wake_key(self._prefix, queue), job_key, job)
        if not jobs and wake is None and unlock is None:
            return
        key, token = unlock or ("", "")
        due = now + int(delay * 1000)
        head = (wake_channel(self._prefix), wake or "", token, _EXPIRES_MS, due, int(not delay))
        try:
            await self._publish(keys=[key] if key else [], args=[*head, *jobs])
        except (RedisError, OSError) as error:
            log.warning("publish failed, the sweeper will find the steps", error=str(error))
