"""Existing synchronous invokers run unchanged, in threads, each call with its own instance."""

import asyncio
import threading
from typing import Any, Self

import pytest
from genie_flow_invoker.invoker.verbatim import (  # type: ignore[import-untyped] # has none
    VerbatimInvoker as GenieVerbatim,
)

from app.invokers.invoker import InvocationContext, InvokerError, TransientInvokerError
from app.invokers.sync import SyncInvoker
from tests.support.sinks import Sink

CONTEXT = InvocationContext("stp_1")


class Legacy:
    """A synchronous invoker that can tell when two calls share it."""

    barrier = threading.Barrier(3, timeout=5)
    made = 0

    def __init__(self, config: dict[str, Any]) -> None:
        type(self).made += 1
        self.config = config
        self.busy = False

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(config)

    def invoke(self, content: str) -> str:
        assert not self.busy
        self.busy = True
        try:
            return self.answer(content)
        finally:
            self.busy = False

    def answer(self, content: str) -> str:
        match content:
            case "meet":
                self.barrier.wait()
            case "reset":
                raise ConnectionResetError("gone")
            case "broken":
                raise KeyError("field")
            case "config":
                return repr(self.config)
            case _:
                pass
        return threading.current_thread().name


async def test_the_seeds_own_verbatim_invoker_runs_unchanged() -> None:
    invoker = SyncInvoker(GenieVerbatim, {})
    sink = Sink()
    assert await invoker.invoke("as it is", InvocationContext("stp_1", emit=sink)) == "as it is"
    assert sink.text == "as it is"
    await invoker.close()


async def test_calls_run_at_once_in_threads_with_an_instance_each() -> None:
    Legacy.made = 0
    invoker = SyncInvoker(Legacy, {"pool_size": 3})
    names = await asyncio.gather(*(invoker.invoke("meet", CONTEXT) for _ in range(3)))
    assert len(set(names)) == 3
    assert threading.current_thread().name not in names
    await asyncio.gather(*(invoker.invoke("x", CONTEXT) for _ in range(20)))
    assert Legacy.made == 3
    await invoker.close()


async def test_pool_size_is_ours_and_the_rest_is_the_invokers() -> None:
    invoker = SyncInvoker(Legacy, {"pool_size": 2, "url": "x"})
    assert invoker.pool_size == 2
    assert await invoker.invoke("config", CONTEXT) == "{'url': 'x'}"
    await invoker.close()


@pytest.mark.parametrize("pool_size", [0, -1, "x", None])
def test_a_bad_pool_size_is_refused(pool_size: object) -> None:
    with pytest.raises(ValueError, match="pool_size"):
        SyncInvoker(Legacy, {"pool_size": pool_size})


async def test_errors_become_the_contracts() -> None:
    invoker = SyncInvoker(Legacy, {})
    with pytest.raises(TransientInvokerError, match=r"^Legacy failed \(ConnectionResetError\)$"):
        await invoker.invoke("reset", CONTEXT)
    with pytest.raises(InvokerError, match=r"^Legacy failed \(KeyError\)$") as caught:
        await invoker.invoke("broken", CONTEXT)
    assert not isinstance(caught.value, TransientInvokerError)
    assert await invoker.invoke("x", CONTEXT)
    await invoker.close()
