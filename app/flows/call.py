"""Runs the functions of a code flow that its templates name as steps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from pydantic_core import to_json

from app.invokers.invoker import InvokerError, TransientInvokerError

# A function that never returns keeps its thread; the others must not wait for it.
_threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="call")


async def call(function: Callable[[dict[str, Any]], Any], data: dict[str, Any]) -> str:
    """The result of a function as a step's: a text as it is, anything else as JSON.

    Raises:
        TransientInvokerError: it raised a connection or a timeout error.
        InvokerError: it raised anything else, or gave what JSON cannot hold.
    """
    try:
        if iscoroutinefunction(function):
            result = await function(data)
        else:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(_threads, copy_context().run, function, data)
            if isawaitable(result):
                result = await result
        return result if isinstance(result, str) else to_json(result).decode()
    except (InvokerError, asyncio.CancelledError):
        raise
    except (ConnectionError, TimeoutError) as error:
        raise TransientInvokerError(_text_of(function, error)) from error
    except (Exception, SystemExit) as error:
        # The function is the user's own code, and so is the text of its error.
        raise InvokerError(_text_of(function, error)) from error


def _text_of(function: Callable[..., Any], error: BaseException) -> str:
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{name}: {type(error).__name__}: {error}"
