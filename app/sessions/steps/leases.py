"""Leases: a heartbeat for all steps that this worker runs, and an end to those that it lost."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from structlog import get_logger

from app.kit.tasks import end_tasks
from app.sessions.store.claim import Claim
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
        self._held: dict[tuple[str, int], asyncio.Task[Any]] = {}
        self._lost: set[tuple[str, int]] = set()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renew what is held while the block lasts."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            await end_tasks(task)

    async def run(self, claim: Claim, work: Coroutine[Any, Any, T]) -> T:
        """Do the work of a step for as long as its lease is ours.

        Raises:
            LeaseLostError: it was lost; the work was cancelled.
        """
        held = (claim.step_id, claim.attempt)
        task = asyncio.create_task(work)
        self._held[held] = task
        try:
            return await task
        except asyncio.CancelledError:
            if held in self._lost:
                raise LeaseLostError from None
            raise
        finally:
            self._held.pop(held, None)
            self._lost.discard(held)
            task.cancel()

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
        kept = await self._store.renew(held, self._lease)
        for step_id, attempt in held:
            if step_id not in kept and (task := self._held.get((step_id, attempt))):
                self._lost.add((step_id, attempt))
                task.cancel()
