"""Takes due steps from one queue as soon as they are due, and outlives any fault of Redis."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import deserialize_job_raw
from arq.worker import Worker, func
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog import get_logger
from typing_extensions import override

from app.kit.tasks import end_tasks
from app.queue.publisher import RUN_STEP, bulk_key, queue_key, wake_key

log = get_logger(__name__)

_POLL_SECONDS = 0.25
_AWAY_SECONDS = 0.5
_GATHER_SECONDS = 0.003
_DAY = 86_400

# Up to ARGV[2] jobs that are due leave the queue KEYS[1] and its bulk KEYS[2]: nobody else gets
# them. ARGV[3] of them are the bulk's, if it has so many: neither keeps the other waiting. If more
# are due, another worker is woken for them, by the list KEYS[3].
_TAKE = """
local jobs = {}
local function take(queue, most)
  if most <= 0 then return end
  for _, id in ipairs(redis.call('zrangebyscore', queue, '-inf', ARGV[1], 'LIMIT', 0, most)) do
    redis.call('zrem', queue, id)
    jobs[#jobs + 1] = redis.call('getdel', ARGV[4] .. id)
  end
end
local free = tonumber(ARGV[2])
take(KEYS[2], tonumber(ARGV[3]))
take(KEYS[1], free - #jobs)
take(KEYS[2], free - #jobs)
for _, queue in ipairs({KEYS[1], KEYS[2]}) do
  if redis.call('zcount', queue, '-inf', ARGV[1]) > 0 then
    redis.call('lpush', KEYS[3], '1')
    redis.call('ltrim', KEYS[3], 0, 99)
  end
end
return jobs"""


class QueueWorker(Worker):
    """Serves one queue.

    arq polls each half second, which is most of a turn; this one waits for the queue's wake list.
    Jobs leave the queue when they start, where arq's own stay until they end and are read again
    and again by every worker. A job that is lost with its worker is published again by the sweeper.

    Args:
        redis: where the queue is.
        prefix: of its keys.
        queue: the name of the queue.
        run_step: runs the step of an id, if it is due and nobody else has it; what goes wrong is
            in the step's row, not in arq.
        concurrency: jobs that run at once.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        queue: str,
        *,
        run_step: Callable[[str], Awaitable[None]],
        concurrency: int,
    ) -> None:
        async def job(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:  # noqa: ARG001 - as arq calls it
            await run_step(*args)

        super().__init__(
            [func(job, name=RUN_STEP)],
            queue_name=queue_key(prefix, queue),
            redis_pool=ArqRedis(redis.connection_pool),
            max_jobs=concurrency,
            handle_signals=False,
            job_timeout=_DAY,  # a step has its own, and a lease
            keep_result=0,
            retry_jobs=False,
            max_tries=1,
            health_check_interval=_DAY,  # the worker's own key says more
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        self._wake_key = wake_key(prefix, queue)
        self._keys = [self.queue_name, bulk_key(prefix, queue), self._wake_key]
        self._notified = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._running: set[asyncio.Task[None]] = set()
        self._take = self.pool.register_script(_TAKE)

    def running(self) -> list[asyncio.Task[Any]]:
        """The jobs that run."""
        return list(self._running)

    @override
    async def main(self) -> None:
        """Serve until cancelled. Without Redis it waits for it to come back."""
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
            await self._take_jobs()
        except (RedisError, OSError) as error:
            log.warning("redis is away", error=type(error).__name__)
            await asyncio.sleep(_AWAY_SECONDS)

    async def _take_jobs(self) -> None:
        """Take what is due out of the queue, as much as there are free slots, and run it.

        One round trip, where arq takes and ends one job at a time in ten. None of what it keeps
        is needed here: results and retries are in the step's row.
        """
        free = self.max_jobs - len(self._running)
        for_bulk = (free + random.randint(0, 1)) // 2  # noqa: S311 - half of them, also of one
        args: list[int | str] = [int(time.time() * 1000), free, for_bulk, job_key_prefix]
        for job in await self._take(keys=self._keys, args=args):
            if job:
                self._start_job(job)
        if len(self._running) < self.max_jobs:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _listen(self) -> None:
        while True:
            await self._has_room.wait()
            try:
                if await self._wait_for_notification():
                    self._notified.set()
            except (RedisError, OSError):
                await asyncio.sleep(_AWAY_SECONDS)

    async def _wait_for_notification(self) -> bool:
        popped: Any = self.pool.blpop([self._wake_key], timeout=1)
        return await popped is not None

    def _start_job(self, job: bytes) -> None:
        name, args, _, _, _ = deserialize_job_raw(job, deserializer=self.job_deserializer)
        task = asyncio.create_task(self._run(name, args))
        self._running.add(task)
        task.add_done_callback(self._slot_is_free)

    async def _run(self, name: str, args: tuple[Any, ...]) -> None:
        try:
            await self.functions[name].coroutine(self.ctx, *args)
        except Exception as error:
            # A step that could not even be claimed: the sweeper publishes it again.
            log.warning("job failed", job=name, error=type(error).__name__, exc_info=error)

    def _slot_is_free(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._has_room.is_set():
            self._notified.set()  # jobs may be waiting for it
