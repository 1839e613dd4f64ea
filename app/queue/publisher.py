"""Publishes steps that may be due. A lost one is published again by the sweeper."""

from collections import defaultdict
from collections.abc import Iterable

from redis.exceptions import RedisError
from structlog import get_logger

from app.kit.redis import LimitedRedis
from app.queue.keys import queue_key, turns_key, wake_channel, wake_key

_EXPIRES_MS = 3_600_000  # of a queue that nobody serves
_FIRST = 20  # steps of one org and publish that do not wait for others

log = get_logger(__name__)

# One script, since each command of a pipeline costs the client as much as this whole one. A step
# that is in its queue already keeps its place. Times are Redis', whose clock is the same for all.
# KEYS: the queue, the turns of its parties, its wake list, then a lock and keys that nobody needs
# soon. ARGV: the channel, its message or "", the lock's token or "", a delay in ms, how many steps
# of an org go before those that can wait, when a queue expires, then each step and its org.
_PUBLISH = """
local time = redis.call('time')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]
local added, count = false, {}
for i = 7, #ARGV, 2 do
  local step, org = ARGV[i], ARGV[i + 1]
  count[org] = (count[org] or 0) + 1
  local party, other = org, org .. ':bulk'
  if count[org] > tonumber(ARGV[5]) then party, other = other, party end
  if not redis.call('zscore', KEYS[1] .. ':of:' .. other, step) then
    for key, member in pairs({[KEYS[1] .. ':of:' .. party] = step, [KEYS[2]] = party}) do
      redis.call('zadd', key, 'LT', due, member)
      redis.call('pexpire', key, ARGV[6] + ARGV[4])
    end
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
        steps: Iterable[tuple[str, str, str]],
        *,
        delay: float = 0.0,
        wake: str | None = None,
        unlock: tuple[str, str] | None = None,
        outdated: Iterable[str] = (),
    ) -> None:
        """Publishes steps, given as (id, queue, org), best effort; nearly always in one round trip.

        A step that is in its queue already is not added again.

        Args:
            steps: what became due, or becomes due after `delay`.
            delay: seconds.
            wake: a key whose waiting readers are woken in the same round trip.
            unlock: a lock that is released in it, and its holder's token.
            outdated: keys that are gone a second later, when who reads them now has done so.
        """
        steps = list(steps)
        by_queue: dict[str, list[str]] = defaultdict(list)  # ids of steps and orgs, in turns
        for step_id, queue, org_id in steps:
            by_queue[queue] += (step_id, org_id)
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
                self._redis.when_it_works(
                    lambda: self.publish(steps, wake=wake, unlock=unlock, outdated=outdated)
                )

    async def _send(  # noqa: PLR0917 - the script's parameters
        self,
        queue: str,
        members: list[str],
        delay_ms: int,
        wake: str | None = None,
        unlock: tuple[str, str] | None = None,
        outdated: tuple[str, ...] = (),
    ) -> None:
        namespace = self._namespace
        lock, token = unlock or (f"{namespace}:lock:", "")
        keys = [key(namespace, queue) for key in (queue_key, turns_key, wake_key)]
        await self._publish(
            keys=[*keys, lock, *outdated],
            args=[
                *(wake_channel(namespace), wake or "", token, delay_ms, _FIRST, _EXPIRES_MS),
                *members,
            ],
        )
