"""Many calls of one moment as one call: what each would ask of a database alone, asked together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Batch(Generic[K, V]):
    """Hands on together what comes in one turn of the event loop, or while a call is out.

    Args:
        serve: takes up to `most` items; gives one answer for each, in order.
    """

    def __init__(self, serve: Callable[[list[K]], Awaitable[list[V]]], most: int = 100) -> None:
        self._serve = serve
        self._most = most
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: K) -> V:
        """The answer for one item; raises what serving it raised."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer(batch)
        finally:
            self._task = None

    async def _answer(self, waiting: list[tuple[K, asyncio.Future[V]]]) -> None:
        try:
            answers = await self._serve([item for item, _ in waiting])
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            if len(waiting) > 1:  # the fault of one must not be the fault of all
                await asyncio.gather(*(self._answer([one]) for one in waiting))
            elif not waiting[0][1].done():
                waiting[0][1].set_exception(error)
            return
        for (_, future), answer in zip(waiting, answers, strict=True):
            if not future.done():
                future.set_result(answer)
