"""Ending background tasks for certain."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.2


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them; what they raise is dropped.

    A client library may swallow a cancellation that comes while it connects: it is sent again.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
