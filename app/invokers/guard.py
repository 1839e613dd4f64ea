"""The boundary around code that may raise anything: invokers and the functions of flows."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from structlog import get_logger

from app.errors import is_public, public_text
from app.invokers.invoker import FailureKind, InvokerError, TransientInvokerError

T = TypeVar("T")
log = get_logger(__name__)

# How long a call that was cancelled may take to end; it is left to itself after that.
_END_SECONDS = 1.0


async def guarded(call: Awaitable[T], name: str) -> T:
    """The result of a call; whatever it raises is an error of the invoker contract.

    The call runs in a task of its own. So a `CancelledError` that it raises itself is not
    taken for the end of the surrounding task, and a `SystemExit` does not stop the event loop.

    Args:
        call: what runs.
        name: what it is called in the text of an error.

    Raises:
        TransientInvokerError: it raised a connection or a timeout error.
        InvokerError: it raised anything else, or was cancelled by its own code.
        asyncio.CancelledError: the surrounding task was cancelled, and the call with it.
    """
    task = asyncio.create_task(_outcome(call, name))
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        with suppress(asyncio.CancelledError):
            _, running = await asyncio.wait({task}, timeout=_END_SECONDS)
            if running:
                log.warning("a cancelled call does not end", name=name)
        raise
    if task.cancelled():
        raise InvokerError(f"{name}: it was cancelled by its own code")
    result = task.result()
    if isinstance(result, InvokerError):
        raise result
    return result


async def _outcome(call: Awaitable[T], name: str) -> T | InvokerError:
    try:
        return await call
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit and its like too end only the call
        return as_failure(error, name)


def as_failure(error: BaseException, name: str) -> InvokerError:
    """What a call raised, as an error of the contract.

    Its own text is shown only where its class is one for clients; of others it may hold anything,
    and is logged.
    """
    if isinstance(error, InvokerError):
        return error
    if is_public(error):
        return InvokerError(public_text(error))
    log.error("a call failed with an error of its own", name=name, exc_info=error)
    text = f"{name} failed ({type(error).__name__})"
    if isinstance(error, ConnectionError | TimeoutError):
        return TransientInvokerError(text, kind=FailureKind.of(error))
    return InvokerError(text)
