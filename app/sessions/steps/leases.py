"""Leases: renews those of all steps that this worker runs, and cancels the calls of lost ones."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from structlog import get_logger

from app.kit.concurrency.tasks import end_tasks
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import StepFence
from app.sessions.store.store import SessionStore

T = TypeVar("T")
log = get_logger(__name__)


class LeaseLostError(Exception):
    """The loss of a step, which is another's or over: what comes of the call is dropped."""


class _Call(NamedTuple):
    invocation_id: str
    task: asyncio.Task[Any]


class Leases:
    """The steps that this worker holds."""

    def __init__(self, store: SessionStore, lease: float) -> None:
        self._store = store
        self._lease = lease
        # With the call that a lost lease ends; None where a result is being written.
        self._held: dict[StepFence, _Call | None] = {}
        self._lost: set[StepFence] = set()
        self._may_be_lost = asyncio.Event()
        self._renewing_locked: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Renews what is held while the block lasts."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            await end_tasks(*filter(None, [task, self._renewing_locked]))

    def check(self, invocation_id: str) -> None:
        """Renews at once if a step of the invocation runs here: it may be over."""
        if any(call and call.invocation_id == invocation_id for call in self._held.values()):
            self._may_be_lost.set()

    async def run(self, claim: Claim, work: Coroutine[Any, Any, T]) -> T:
        """Does the work of a step for as long as its lease is ours.

        Raises:
            LeaseLostError: it was lost; the work was cancelled.
        """
        fence, task = claim.fence, asyncio.create_task(work)
        self._held[fence] = _Call(claim.invocation_id, task)
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
        """Keeps the lease while a result is written; the write itself finds out if it was lost."""
        self._held[fence] = None
        try:
            yield
        finally:
            self._held.pop(fence, None)

    async def _beat(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lease / 3):
                    await self._may_be_lost.wait()
            self._may_be_lost.clear()
            try:
                await self._renew()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next beat tries again
                log.warning("leases not renewed", error=type(error).__name__)

    async def _renew(self) -> None:
        held = list(self._held)
        if not held:
            return
        renewed = await self._store.renew(held, self._lease)
        for fence in held:
            if fence.step_id not in renewed and (call := self._held.get(fence)):
                self._lost.add(fence)
                call.task.cancel()
        locked = [fence for fence in held if renewed.get(fence.step_id) is False]
        if locked and (self._renewing_locked is None or self._renewing_locked.done()):
            self._renewing_locked = asyncio.create_task(self._renew_locked(locked))

    async def _renew_locked(self, locked: list[StepFence]) -> None:
        """Renews leases whose rows are locked: the owner must be the first to get them.

        One row at a time, over one connection: what waits for a row holds no other.
        """
        try:
            while locked := [fence for fence in locked if fence in self._held]:
                fence = locked.pop(0)
                if not await self._store.renew_locked(fence, self._lease):
                    locked.append(fence)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next beat tries again
            log.warning("locked leases not renewed", error=type(error).__name__)
