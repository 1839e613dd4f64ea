"""What a worker looks after all the time: lost steps, and sessions that are over or stranded."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from structlog import get_logger

from app.queue.worker import QueueWorker
from app.sessions.runtime import Runtime
from app.sessions.steps.sweep.deadlines import end_overdue
from app.sessions.steps.sweep.expiry import expire_actions
from app.sessions.steps.sweep.timers import send_due
from app.sessions.steps.sweep.waits import WaitingSteps
from app.sessions.steps.sweep.watchdog import Watchdog

log = get_logger(__name__)

_DIRECT_SECONDS = 0.25
_EXPIRE_BATCH = 100
# Of long sessions: one that is deleted with all of its parts takes too long.
_PART_ROWS = 2_000
_PART_BYTES = 20_000_000


async def sweep(runtime: Runtime, workers: Sequence[QueueWorker]) -> None:
    """Sweeps for ever. Any fault ends one sweep, never the sweeper."""
    settings = runtime.settings
    often, seldom = settings.step.sweep_seconds, settings.session.expire_sweep_seconds
    async with asyncio.TaskGroup() as sweeps:
        for seconds, action in (
            (often, partial(_republish, runtime)),
            (_DIRECT_SECONDS, partial(_start_without_redis, runtime, workers)),
            (often, partial(send_due, runtime)),
            (seldom, partial(_expire, runtime)),
            (seldom, partial(end_overdue, runtime)),
            (seldom, partial(expire_actions, runtime)),
            (seldom, Watchdog(runtime).look),
            (seldom, WaitingSteps(runtime).look),
        ):
            sweeps.create_task(repeat(seconds, action))


async def _republish(runtime: Runtime) -> None:
    settings = runtime.settings
    if not runtime.redis.works:
        return
    # Jitter makes the pause of one worker shorter than `sweep_seconds`, never by half.
    steps = await runtime.store.sweep(
        settings.step.republish_seconds, settings.worker.queues, settings.step.sweep_seconds / 2
    )
    if steps:
        log.warning(
            "due steps were not taken",
            queues=dict(Counter(step.queue for step in steps)),
            orgs=len({step.org_id for step in steps}),
        )
        await runtime.queue.publish(steps)


async def _start_without_redis(runtime: Runtime, workers: Sequence[QueueWorker]) -> None:
    """Starts due steps here while Redis does not work, as many as there are free slots."""
    if runtime.redis.works:
        return
    by_queue = {worker.queue: worker for worker in workers if worker.free > 0}
    free = {queue: worker.free for queue, worker in by_queue.items()}
    for step_id, queue, org_id in await runtime.store.take_due(_DIRECT_SECONDS, free):
        if by_queue[queue].has_slot(org_id):  # others are looked at again, behind those of others
            by_queue[queue].start(step_id, org_id)


async def _expire(runtime: Runtime) -> None:
    store = runtime.store
    while True:
        while await store.expire_parts(_EXPIRE_BATCH, rows=_PART_ROWS, size=_PART_BYTES):
            pass
        if await store.expire(_EXPIRE_BATCH) < _EXPIRE_BATCH:
            return


async def repeat(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    """Does something for ever, with about so many seconds between; a fault ends one time of it."""
    while True:
        # Jitter, so that many workers do not sweep in step.
        await asyncio.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311
        try:
            await action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            log.warning("sweep failed", error=type(error).__name__)
