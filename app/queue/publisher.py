"""Publishes steps that may be due. A lost one is published again by the sweeper."""

from collections import defaultdict
from collections.abc import Iterable

from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.redis import LimitedRedis
from app.queue.keys import bulk_key, queue_key, wake_channel, wake_key

_EXPIRES_MS = 3_600_000  # of a queue that nobody serves
_FIRST = 20  # steps of one publish that do not wait for others

log = get_logger(__name__)

# One script, since each command of a pipeline costs the client as much as this whole one. A step
# that is in its queue already keeps its place. Times are Redis', whose clock is the same for all.
# KEYS: the queue, its bulk, its wake list, then a lock and keys that nobody needs soon. ARGV: the
# channel, its message or "", the lock's token or "", a delay in ms, how many steps go before the
# bulk, when a queue expires, then the steps.
_PUBLISH = """
local time = redis.call('time')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
local added = false
for i = 7, #ARGV do
  local bulk = i - 7 >= tonumber(ARGV[5])
  local place, other = KEYS[bulk and 2 or 1], KEYS[bulk and 1 or 2]
  if not redis.call('zscore', other, ARGV[i]) then
    redis.call('zadd', place, 'LT', due, ARGV[i])
    redis.call('pexpire', place, ARGV[6] + ARGV[4])
    added = true
  end
end
if added and ARGV[4] == '0' and redis.call('llen', KEYS[3]) == 0 then
  redis.call('lpush', KEYS[3], '1')
end
for i = 5, #KEYS do redis.call('pexpire', KEYS[i], 1000) end
if ARGV[2] ~= '' then redis.call('publish', ARGV[1], ARGV[2]) end
if ARGV[3] ~= '' and redis.call('get', KEYS[4]) == ARGV[3] then redis.call('del', KEYS[4]) end
"""


class StepQueue:
    """Publishes steps to workers."""

    def __init__(self, redis: LimitedRedis, namespace: str) -> None:
        self._redis = redis
        self._namespace = namespace
        self._publish = redis.register_script(_PUBLISH)

    async def publish(
        self,
        steps: Iterable[tuple[str, str]],
        *,
        delay: float = 0.0,
        wake: str | None = None,
        unlock: tuple[str, str] | None = None,
        outdated: Iterable[str] = (),
    ) -> None:
        """Publishes steps, given as (step id, queue), best effort; nearly always in one round trip.

        A step that is in its queue already is not added again.

        Args:
            steps: what became due, or becomes due after `delay`.
            delay: seconds.
            wake: a key whose waiting readers are woken in the same round trip.
            unlock: a lock that is released in it, and its holder's token.
            outdated: keys that are gone a second later, when who reads them now has done so.
        """
        by_queue: dict[str, list[str]] = defaultdict(list)
        for step_id, queue in steps:
            by_queue[queue].append(step_id)
        outdated = tuple(outdated)
        if not by_queue and wake is None and unlock is None and not outdated:
            return
        first, *others = by_queue or [""]
        delay_ms = int(delay * 1000)
        try:
            await self._send(first, by_queue[first], delay_ms, wake, unlock, outdated)
            for queue in others:
                await self._send(queue, by_queue[queue], delay_ms)
        except (RedisError, OSError) as error:
            log.warning("publish failed", error=type(error).__name__)
            if not delay:
                due = [(step_id, queue) for queue, ids in by_queue.items() for step_id in ids]
                self._redis.when_it_works(
                    lambda: self.publish(due, wake=wake, unlock=unlock, outdated=outdated)
                )

    async def _send(  # noqa: PLR0917 - the script's parameters
        self,
        queue: str,
        step_ids: list[str],
        delay_ms: int,
        wake: str | None = None,
        unlock: tuple[str, str] | None = None,
        outdated: tuple[str, ...] = (),
    ) -> None:
        namespace = self._namespace
        lock, token = unlock or (f"{namespace}:lock:", "")
        keys = [key(namespace, queue) for key in (queue_key, bulk_key, wake_key)]
        await self._publish(
            keys=[*keys, lock, *outdated],
            args=[
                *(wake_channel(namespace), wake or "", token, delay_ms, _FIRST, _EXPIRES_MS),
                *step_ids,
            ],
        )
