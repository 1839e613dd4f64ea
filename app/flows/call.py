"""Runs the functions of a code flow that its templates name as steps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from app.invokers.guard import as_failure, guarded
from app.invokers.invoker import result_text

# A function that never returns keeps its thread; the others must not wait for it.
_threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="call")


async def call(function: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> str:
    """The result of a function as a step's: a text as it is, anything else as JSON.

    Raises:
        TransientInvokerError: it raised a connection or a timeout error.
        InvokerError: it raised anything else, or gave what JSON cannot hold; the text of its error
            is in it where its class is one for clients.
    """
    return await guarded(_result_of(function, data), _name(function))


async def _result_of(function: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> str:
    try:
        if iscoroutinefunction(function):
            result = await function(data)
        else:
            loop = asyncio.get_running_loop()
            run = partial(copy_context().run, _in_thread, function, data)
            result = await loop.run_in_executor(_threads, run)
            if isawaitable(result):
                result = await result
        return result_text(result)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        raise as_failure(error, _name(function)) from error


def _in_thread(function: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> Any:
    """Calls the function; a future cannot carry StopIteration out of a thread, and never ends."""
    try:
        return function(data)
    except BaseException as error:
        raise as_failure(error, _name(function)) from error


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
