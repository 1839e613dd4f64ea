"""Takes due steps from one queue as soon as they are due, and outlives any fault of Redis."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from arq.worker import Worker, func
from redis.exceptions import RedisError
from structlog import get_logger
from typing_extensions import override

from app.kit.redis import LimitedRedis
from app.kit.tasks import end_tasks
from app.queue.keys import bulk_key, queue_key, wake_key

log = get_logger(__name__)

_RUN_STEP = "run_step"
_POLL_SECONDS = 0.25
_AWAY_SECONDS = 0.5
_GATHER_SECONDS = 0.003

# Up to ARGV[1] steps that are due leave the queue KEYS[1] and its bulk KEYS[2]: nobody else gets
# them. ARGV[2] of them are the bulk's, if it has so many: neither keeps the other waiting. If more
# are due, another worker is woken for them, by the list KEYS[3].
_TAKE = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = {}
local function take(queue, most)
  if most <= 0 then return end
  for _, id in ipairs(redis.call('zrangebyscore', queue, '-inf', now, 'LIMIT', 0, most)) do
    redis.call('zrem', queue, id)
    taken[#taken + 1] = id
  end
end
local free = tonumber(ARGV[1])
take(KEYS[2], tonumber(ARGV[2]))
take(KEYS[1], free - #taken)
take(KEYS[2], free - #taken)
for _, queue in ipairs({KEYS[1], KEYS[2]}) do
  if redis.call('zcount', queue, '-inf', now) > 0 then
    redis.call('lpush', KEYS[3], '1')
    redis.call('ltrim', KEYS[3], 0, 99)
  end
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
    """

    def __init__(
        self,
        redis: LimitedRedis,
        namespace: str,
        queue: str,
        *,
        run_step: Callable[[str], Awaitable[None]],
        concurrency: int,
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
        self._keys = [self.queue_name, bulk_key(namespace, queue), wake_key(namespace, queue)]
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

    def start(self, step_id: str) -> None:
        """Runs a step, whether or not it is in the queue."""
        task = asyncio.create_task(self._run(step_id))
        self._running.add(task)
        task.add_done_callback(self._end)
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
                if not self._has_room.is_set():
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
        free = self.free
        for_bulk = (free + random.randint(0, 1)) // 2  # noqa: S311 - half of them, also of one
        for step_id in await self._take(keys=self._keys, args=[free, for_bulk]):
            self.start(step_id.decode())
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

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._has_room.is_set():
            self._notified.set()  # steps may be waiting for the slot
