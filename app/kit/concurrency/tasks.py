"""Ending background tasks for certain."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.2


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits for them; what they raise is dropped.

    A client library may swallow a cancellation that comes while it connects: it is sent again. To
    be cancelled meanwhile does not cut it short: a task that was left running would open anew what
    its owner closes next.
    """
    waiting = set(tasks)
    cancelled = False
    while waiting:
        for task in waiting:
            task.cancel()
        try:
            await asyncio.wait(waiting, timeout=_AGAIN_SECONDS)
        except asyncio.CancelledError:
            cancelled = True
        waiting = {task for task in waiting if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()  # or asyncio would say that nobody looked at it
    if cancelled:
        raise asyncio.CancelledError
