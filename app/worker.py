"""Composes the worker process: queue workers, leases, the sweeper, the invokers."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from structlog import get_logger

from app.access.crypto import Vault
from app.invokers.pool import Invokers
from app.kit.concurrency.loop_lag import watch_loop
from app.kit.concurrency.tasks import end_tasks
from app.kit.log import configure_logging
from app.manifests.connections import ManifestConnections
from app.manifests.quotas import count_quotas
from app.manifests.retention import sweep_old_rows
from app.queue.worker import QueueWorker
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.attempt import AttemptRunner
from app.sessions.steps.attempts.children import ChildRunner
from app.sessions.steps.leases import Leases
from app.sessions.steps.runner import StepRunner
from app.sessions.steps.sweep.sweeper import sweep
from app.settings import Settings
from app.threads.commands.launch import SessionOpener

log = get_logger(__name__)


def run(settings: Settings) -> None:
    """Serves the settings' queues until SIGTERM or SIGINT; then ends what runs, and stops."""
    configure_logging(settings.log_level)
    uvloop.run(_serve_until_signal(settings))
    gc.freeze()  # at its end the interpreter looks through all that is not: a second of a processor


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """A worker that serves while the block lasts; the task ends only by a fault."""
    size = settings.worker.pool_size
    async with Runtime.open(settings, pool_size=size, listen=False) as runtime:
        invokers = Invokers(settings.llm, settings.security.egress_allow)
        leases = Leases(runtime.store, settings.step.lease_seconds)
        vault = Vault(settings.security.encryption_keys)
        connections = ManifestConnections(runtime.database.pool, vault)
        runner = StepRunner(
            runtime,
            AttemptRunner(
                runtime, invokers, connections, ChildRunner(runtime, SessionOpener(runtime))
            ),
            leases,
            settings.worker.queues,
        )
        workers = [
            QueueWorker(
                runtime.redis,
                settings.redis_namespace,
                queue,
                run_step=runner.run,
                concurrency=settings.worker.concurrency,
                org_share=settings.worker.org_share,
            )
            for queue in settings.worker.queues
        ]
        fingerprints = runtime.catalog.fingerprints
        async with leases.renewing():
            picking = [asyncio.create_task(worker.async_run()) for worker in workers]
            # Until it takes no more steps.
            showing = asyncio.create_task(
                runtime.live_workers.show(settings.worker.queues, fingerprints)
            )
            tasks = [
                asyncio.create_task(sweep(runtime, workers)),
                asyncio.create_task(sweep_old_rows(runtime)),
                asyncio.create_task(count_quotas(runtime)),
                asyncio.create_task(runtime.cancellations.listen(leases.check)),
            ]
            try:
                with watch_loop():
                    yield asyncio.create_task(_first_fault([*picking, showing, *tasks]))
                await end_tasks(*picking, showing)
                await _drain(workers, settings.worker.drain_seconds)
            finally:
                await end_tasks(*picking, showing, *tasks)
                await _drain(workers, 0)  # after a fault: nothing may run on without its pools
                await invokers.close()


async def _serve_until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(settings) as fault:
        log.info("worker serves", queues=settings.worker.queues)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, fault}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if fault.done():
            fault.result()
        log.info("worker stops")


async def _first_fault(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _drain(workers: list[QueueWorker], seconds: float) -> None:
    """Lets the steps that run come to their end; those that do not are put back when cancelled."""
    running = [task for worker in workers for task in worker.running()]
    if running:
        _, late = await asyncio.wait(running, timeout=seconds)
        await end_tasks(*late)
