"""Runs an existing synchronous invoker, written for the seed's interface, in threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Protocol, Self

from pydantic import Field
from typing_extensions import override

from app.invokers.config import InvokerConfig, read_config
from app.invokers.guard import as_failure
from app.invokers.invoker import InvocationContext, Invoker, result_text

DEFAULT_POOL_SIZE = 4


class SyncInvokerLike(Protocol):
    """The interface of existing synchronous invokers."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SyncInvokerLike":
        """Makes one from its config."""

    def invoke(self, content: str) -> str:
        """Sends the content, gives back the answer."""


class _PoolConfig(InvokerConfig):
    pool_size: int = Field(DEFAULT_POOL_SIZE, gt=0, le=1000)


class SyncInvoker(Invoker):
    """`pool_size` threads, each call with an instance of its own: they need not be thread-safe.

    A thread cannot be stopped: a call that was given up keeps its thread until it returns.

    Args:
        wrapped: the class of the synchronous invoker.
        config: its config; `pool_size` in it is ours and is not passed on.

    Raises:
        ValueError: `pool_size` is not a number from 1 to 1000.
        Exception: whatever `from_config` of the wrapped class raises.
    """

    def __init__(self, wrapped: type[SyncInvokerLike], config: dict[str, Any]) -> None:
        own = {key: config[key] for key in ("pool_size",) if key in config}
        self.pool_size = read_config(_PoolConfig, own).pool_size
        self._wrapped = wrapped
        self._config = {key: value for key, value in config.items() if key not in own}
        self._idle: SimpleQueue[SyncInvokerLike] = SimpleQueue()
        self._idle.put(self._make())
        self._threads = ThreadPoolExecutor(self.pool_size, f"invoker-{wrapped.__name__}")

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        raise NotImplementedError("made from the class that it wraps")

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._call, content)
        await context.emit(answer)
        return answer

    @override
    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _make(self) -> SyncInvokerLike:
        return self._wrapped.from_config(dict(self._config))

    def _call(self, content: str) -> str:
        try:
            invoker = self._take()
            try:
                return result_text(invoker.invoke(content))
            finally:
                self._idle.put(invoker)
        except BaseException as error:
            # None may leave the thread as it is: a future cannot carry StopIteration, and would
            # never end.
            raise as_failure(error, self._wrapped.__name__) from error

    def _take(self) -> SyncInvokerLike:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._make()
