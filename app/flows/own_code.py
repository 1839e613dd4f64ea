"""Runs a flow's own code, its hooks and guards, so that it ends neither the process nor the wait.

The code runs on the event loop, within the request that sends an event. Async code has a deadline.
What blocks the loop cannot be stopped; it is logged with its flow and state.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from time import perf_counter
from types import coroutine
from typing import Any

from structlog import get_logger
from structlog.contextvars import bound_contextvars

from app.errors import EventRefusedError

log = get_logger(__name__)

MAX_SECONDS = 5.0
_END_SECONDS = 1.0  # that cancelled code has to clean up
_BLOCKING_SECONDS = 0.1


class CodeExitError(RuntimeError):
    """A flow's code raised what would end a process or a task, such as `SystemExit`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"the code raised {type(error).__name__}")


@dataclass(frozen=True, slots=True)
class OwnCode:
    """The code of one flow in one state.

    Attributes:
        flow: the key of the flow.
        state: where the session is; None before it starts.
    """

    flow: str
    state: str | None = None

    def call(self, function: Callable[[], Any]) -> Any:
        """What a function returns.

        Raises:
            CodeExitError: it raised what would end the process.
            Exception: what else it raised.
        """
        with bound_contextvars(flow=self.flow, state=self.state):
            return _result_of(function)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What a function returns; an awaitable is awaited.

        Raises:
            EventRefusedError: it takes too long.
            CodeExitError: it raised what would end the process, or cancelled itself.
            Exception: what else it raised.
            asyncio.CancelledError: the surrounding task was cancelled, and the code with it.
        """
        with bound_contextvars(flow=self.flow, state=self.state):
            result = _result_of(function)
            return await _awaited(result) if isawaitable(result) else result


def contained(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A function, awaited if need be, that cannot stop the event loop from within a task."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        result = _result_of(partial(function, *args, **kwargs))
        if not isawaitable(result):
            return result
        try:
            return await _watched(result)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise CodeExitError(error) from error

    return run


def _result_of(function: Callable[[], Any]) -> Any:
    start = perf_counter()
    try:
        return function()
    except Exception:
        raise
    except BaseException as error:
        raise CodeExitError(error) from error
    finally:
        _report(start)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    """The result of an awaitable in a task of its own, which need not heed a cancellation."""
    task = asyncio.create_task(_settled(awaitable))
    try:
        await asyncio.wait({task}, timeout=MAX_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_END_SECONDS)
        log.warning("the flow's code takes too long")
        raise EventRefusedError(f"The flow's code takes longer than {MAX_SECONDS:g} seconds.")
    if task.cancelled():
        raise CodeExitError(asyncio.CancelledError())
    result, error = task.result()
    if error is not None:
        raise error
    return result


async def _settled(awaitable: Awaitable[Any]) -> tuple[Any, Exception | None]:
    """The result or the error: nobody may be there any more to take an error out of the task."""
    try:
        return await awaitable, None
    except Exception as error:  # noqa: BLE001 - whatever the flow's code raises
        return None, error


@coroutine
def _watched(awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Awaits, and times what the code takes from one wait to the next."""
    steps: Any = awaitable.__await__()
    advance: Callable[[], Any] = partial(next, steps)
    while True:
        start = perf_counter()
        try:
            waited_for = advance()
        except StopIteration as end:
            return end.value
        finally:
            _report(start)
        try:
            yield waited_for
            advance = partial(next, steps)
        except BaseException as error:  # noqa: BLE001 - it is the code's to handle
            advance = partial(steps.throw, error)


def _report(start: float) -> None:
    """Logs that the code held the event loop since `start`, if that is too long."""
    seconds = perf_counter() - start
    if seconds > _BLOCKING_SECONDS:
        log.warning("the flow's code blocks the event loop", seconds=round(seconds, 3))
