"""The boundary around an invocation: whatever it raises is a failed attempt, and no more."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Self

import pytest
from typing_extensions import override

from app.flows.call import call
from app.invokers.guard import guarded
from app.invokers.invoker import InvocationContext, Invoker, InvokerError, TransientInvokerError
from app.invokers.pool import Invokers
from app.invokers.sync import SyncInvoker
from app.settings import LlmSettings

CONTEXT = InvocationContext("stp_1")
ODD: list[Callable[[], BaseException]] = [
    asyncio.CancelledError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    RecursionError,
    MemoryError,
    lambda: ExceptionGroup("several", [ValueError("x")]),
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt()]),
]


class Raising(Invoker):
    """Raises what its class is told to."""

    error: Callable[[], BaseException] = ValueError

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls()

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        raise type(self).error()


class SyncRaising:
    """Raises what its class is told to, in a thread."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls()

    def invoke(self, content: str) -> str:
        raise Raising.error()


@pytest.fixture(params=ODD)
def error(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Raising, "error", staticmethod(request.param))


async def in_time(answer: Awaitable[str]) -> str:
    async with asyncio.timeout(5):
        return await answer


async def test_whatever_an_invoker_raises_is_a_failed_attempt(error: None) -> None:
    invoker = Invokers(LlmSettings()).resolve(f"{__name__}.Raising", trusted=True)
    with pytest.raises(InvokerError, match="Raising"):
        await in_time(invoker.invoke("x", CONTEXT))


async def test_whatever_a_synchronous_invoker_raises_is_a_failed_attempt(error: None) -> None:
    with pytest.raises(InvokerError, match="SyncRaising"):
        await in_time(guarded(SyncInvoker(SyncRaising, {}).invoke("x", CONTEXT), "SyncRaising"))


@pytest.mark.parametrize("kind", ["function", "coroutine function", "awaitable"])
async def test_whatever_a_function_of_a_flow_raises_is_a_failed_attempt(
    error: None, kind: str
) -> None:
    def function(_data: dict[str, Any]) -> str:
        raise Raising.error()

    async def coroutine(_data: dict[str, Any]) -> str:
        raise Raising.error()

    functions: dict[str, Callable[[dict[str, Any]], Any]] = {
        "function": function,
        "coroutine function": coroutine,
        "awaitable": partial(coroutine),
    }
    with pytest.raises(InvokerError):
        await in_time(call(functions[kind], {}))


async def test_a_call_that_cancels_its_own_task_is_a_failed_attempt() -> None:
    async def suicidal() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return "never"

    with pytest.raises(InvokerError, match="cancelled"):
        await guarded(suicidal(), "x")


async def test_the_end_of_the_surrounding_task_ends_the_call_and_is_no_failure() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "late"

    task = asyncio.create_task(guarded(slow(), "x"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_call_that_swallows_its_cancellation_does_not_hold_the_task() -> None:
    async def stubborn() -> str:
        for _ in range(20):
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                continue
        return "late"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await guarded(stubborn(), "x")


async def test_a_lost_connection_may_pass_and_the_text_of_an_error_stays_here() -> None:
    async def broken(error: Exception) -> str:
        raise error

    with pytest.raises(TransientInvokerError):
        await guarded(broken(ConnectionResetError("10.0.0.1 secret")), "x")
    with pytest.raises(InvokerError) as caught:
        await guarded(broken(KeyError("secret")), "x")
    assert str(caught.value) == "x failed (KeyError)"
