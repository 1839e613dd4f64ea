"""Publishes steps again that nobody took, and deletes sessions whose time is up."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from structlog import get_logger

from app.sessions.runtime import Runtime

log = get_logger(__name__)


async def sweep(runtime: Runtime) -> None:
    """Sweep for ever. Any fault ends one sweep, never the sweeper."""
    settings = runtime.settings
    await asyncio.gather(
        _repeat(settings.step.sweep_seconds, lambda: _republish(runtime)),
        _repeat(settings.session.expire_sweep_seconds, runtime.store.expire),
    )


async def _republish(runtime: Runtime) -> None:
    settings = runtime.settings
    steps = await runtime.store.sweep(settings.step.republish_seconds, settings.worker.queues)
    if steps:
        log.info("published again", steps=len(steps))
        await runtime.queue.publish(steps)


async def _repeat(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        # Jitter, so that many workers do not sweep in step.
        await asyncio.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311
        try:
            await action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            log.warning("sweep failed", error=type(error).__name__)
