"""Takes due steps from one queue as soon as they are due, and outlives any fault of Redis."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from arq.worker import Worker, func
from redis.exceptions import RedisError
from structlog import get_logger
from typing_extensions import override

from app.kit.concurrency.tasks import end_tasks
from app.kit.redis import LimitedRedis
from app.queue.keys import old_bulk_key, queue_key, turns_key, wake_key

log = get_logger(__name__)

_RUN_STEP = "run_step"
_POLL_SECONDS = 0.25
_AWAY_SECONDS = 0.5
_GATHER_SECONDS = 0.003

# Up to ARGV[1] steps that are due leave the queue KEYS[1]: nobody else gets them. Its parties, in
# KEYS[2] by when it is their turn, give one after the other; whoever gave is the last then. An org
# gets a slot while it has none, or less than the share ARGV[2] of those that it has or could have;
# from ARGV[3] on, orgs and how many slots they have. If more are due, another worker is woken for
# them, by the list KEYS[3]; the answer begins with whether that is so. The release before this one
# publishes into KEYS[4] and KEYS[5].
_TAKE = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local free, share = tonumber(ARGV[1]), tonumber(ARGV[2])
local has, taken = {}, {0}
for i = 3, #ARGV, 2 do has[ARGV[i]] = tonumber(ARGV[i + 1]) end
local function take(key, org)
  local first = redis.call('zrange', key, 0, 1, 'WITHSCORES')
  local due = tonumber(first[2])
  if not due or due > now then return false, due end
  redis.call('zrem', key, first[1])
  taken[#taken + 1], taken[#taken + 2] = first[1], org
  has[org], free = (has[org] or 0) + 1, free - 1
  return true, tonumber(first[4])
end
local due, more, took = {}, true, nil
local parties = redis.call('zrangebyscore', KEYS[2], '-inf', now, 'LIMIT', 0, 500)
while more and free > 0 do
  more = false
  for _, party in ipairs(parties) do
    local org = string.match(party, '^[^:]*')
    local slots = has[org] or 0
    local may = free > 0 and (slots == 0 or slots + 1 <= share * (slots + free))
    if may and (due[party] or 0) <= now then
      took, due[party] = take(KEYS[1] .. ':of:' .. party, org)
      due[party] = due[party] or math.huge
      more = more or took
    end
  end
end
for party, moment in pairs(due) do
  if moment == math.huge then redis.call('zrem', KEYS[2], party)
  else redis.call('zadd', KEYS[2], math.max(now, moment), party) end
end
if free > 0 and redis.call('exists', KEYS[4], KEYS[5]) > 0 then
  for i = 4, 5 do
    while free > 0 and take(KEYS[i], '') do end
  end
end
if redis.call('zcount', KEYS[2], '-inf', now) > 0 then taken[1] = 1 end
if taken[1] == 1 and #taken > 1 then
  redis.call('lpush', KEYS[3], '1')
  redis.call('ltrim', KEYS[3], 0, 99)
end
return taken"""


class QueueWorker(Worker):
    """Serves one queue, when arq's `async_run` runs it.

    arq polls each half second, which is most of a turn; this one waits for the queue's wake list.
    A step's id is the id of its job, which has no other content, and leaves the queue when it
    starts, where arq's jobs stay until they end and are read again and again by every worker. One
    that is lost with its worker is published again by the sweeper.

    Args:
        redis: where the queue is.
        namespace: of its keys.
        queue: the name of the queue.
        run_step: runs the step of an id, if it is due and nobody else has it; what goes wrong is
            in the step's row.
        concurrency: steps that run at once.
        org_share: the part of the slots that one org has at the most, of those that no other has.
    """

    def __init__(
        self,
        redis: LimitedRedis,
        namespace: str,
        queue: str,
        *,
        run_step: Callable[[str], Awaitable[None]],
        concurrency: int,
        org_share: float = 1.0,
    ) -> None:
        async def job(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - as arq calls it
            await run_step(*args)

        # Without a pool arq opens no connection: every command has the limits of `redis`.
        super().__init__(
            [func(job, name=_RUN_STEP)],
            queue_name=queue_key(namespace, queue),
            max_jobs=concurrency,
            handle_signals=False,
        )
        self.queue = queue
        self._redis = redis
        keys = (queue_key, turns_key, wake_key, queue_key, old_bulk_key)
        self._keys = [key(namespace, queue) for key in keys]
        self._org_share = org_share
        self._held: Counter[str] = Counter()  # slots by org
        self._left_some = False  # due, which another slot will be for
        self._take = redis.register_script(_TAKE)
        self._notified = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def free(self) -> int:
        """How many steps can be started now."""
        return self.max_jobs - len(self._running)

    def running(self) -> list[asyncio.Task[None]]:
        """The steps that run."""
        return list(self._running)

    def has_slot(self, org_id: str) -> bool:
        """Whether a step of the org can be started now."""
        held = self._held[org_id]
        could_have = held + self.free
        return self.free > 0 and (not held or held + 1 <= self._org_share * could_have)

    def start(self, step_id: str, org_id: str) -> None:
        """Runs a step, whether or not it is in the queue."""
        task = asyncio.create_task(self._run(step_id))
        self._running.add(task)
        self._held[org_id] += 1
        task.add_done_callback(lambda task: self._end(task, org_id))
        if not self.free:
            self._has_room.clear()

    @override
    async def main(self) -> None:
        """Serves until cancelled. Without Redis it waits for it to come back."""
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._notified.wait()
                except TimeoutError:
                    pass
                if self._left_some or not self._has_room.is_set():
                    # Slots that are taken together come free together: one claim for all of them.
                    await asyncio.sleep(_GATHER_SECONDS)
                self._notified.clear()
                await self._poll()
        finally:
            await end_tasks(listener)

    async def _poll(self) -> None:
        try:
            await self._take_steps()
        except (RedisError, OSError):
            await asyncio.sleep(_AWAY_SECONDS)

    async def _take_steps(self) -> None:
        """Takes what is due out of the queue, as much as there are free slots, and starts it."""
        held = [part for pair in self._held.items() for part in pair]
        left_some, *taken = await self._take(
            keys=self._keys, args=[self.free, self._org_share, *held]
        )
        self._left_some = bool(left_some)
        for step_id, org_id in zip(taken[::2], taken[1::2], strict=True):
            self.start(step_id.decode(), org_id.decode())
        if self.free:
            self._has_room.set()

    async def _listen(self) -> None:
        while True:
            await self._has_room.wait()
            try:
                if await self._wait_for_notification():
                    self._notified.set()
            except (RedisError, OSError):
                await asyncio.sleep(_AWAY_SECONDS)

    async def _wait_for_notification(self) -> bool:
        popped: Any = self._redis.blpop([self._keys[2]], timeout=1)
        return await popped is not None

    async def _run(self, step_id: str) -> None:
        try:
            await self.functions[_RUN_STEP].coroutine(self.ctx, step_id)
        except Exception as error:
            # A step that could not even be claimed: the sweeper publishes it again.
            log.warning("step not run", step_id=step_id, exc_info=error)

    def _end(self, task: asyncio.Task[None], org_id: str) -> None:
        self._running.discard(task)
        self._held[org_id] -= 1
        if not self._held[org_id]:
            del self._held[org_id]
        if self._left_some or not self._has_room.is_set():
            self._notified.set()  # steps may be waiting for the slot
