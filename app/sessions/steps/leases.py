"""Leases: a heartbeat for all steps that this worker runs, and an end to those that it lost."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from structlog import get_logger

from app.kit.tasks import end_tasks
from app.sessions.store.change import StepFence
from app.sessions.store.store import SessionStore

T = TypeVar("T")
log = get_logger(__name__)


class LeaseLostError(Exception):
    """Somebody else has the step, or it is over: whatever comes of the call is to be dropped."""


class Leases:
    """The steps that this worker holds."""

    def __init__(self, store: SessionStore, lease: float) -> None:
        self._store = store
        self._lease = lease
        # With the call that a lost lease ends; None where a result is being written.
        self._held: dict[StepFence, asyncio.Task[Any] | None] = {}
        self._lost: set[StepFence] = set()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew what is held while the block lasts."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            await end_tasks(task)

    async def run(self, fence: StepFence, work: Coroutine[Any, Any, T]) -> T:
        """Do the work of a step for as long as its lease is ours.

        Raises:
            LeaseLostError: it was lost; the work was cancelled.
        """
        task = asyncio.create_task(work)
        self._held[fence] = task
        try:
            return await task
        except asyncio.CancelledError:
            if fence in self._lost:
                raise LeaseLostError from None
            raise
        finally:
            self._held.pop(fence, None)
            self._lost.discard(fence)
            task.cancel()

    @contextmanager
    def keeping(self, fence: StepFence) -> Iterator[None]:
        """Keep the lease while a result is written; the write itself finds out if it was lost."""
        self._held[fence] = None
        try:
            yield
        finally:
            self._held.pop(fence, None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next beat tries again
                log.warning("leases not renewed", error=type(error).__name__)

    async def _renew(self) -> None:
        held = list(self._held)
        if not held:
            return
        ours = await self._store.renew(held, self._lease)
        for fence in held:
            if fence.step_id not in ours and (task := self._held.get(fence)):
                self._lost.add(fence)
                task.cancel()
