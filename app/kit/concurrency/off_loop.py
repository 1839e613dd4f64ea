"""Runs what takes long beside the event loop, in threads of which no org has all.

All else on the loop waits while something is computed on it: what is not done within some
milliseconds belongs into a thread. There the loop has its turn every few milliseconds.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

from app.kit.concurrency.shares import Shares, tenant

T = TypeVar("T")

# Of what JSON is read, checked or written within some milliseconds.
LIGHT_BYTES = 65_536
_THREADS = 2  # with more, the event loop would wait longer for its turn

_threads = ThreadPoolExecutor(_THREADS, "off-loop")
# One org has one of them at a time, and others have their turns.
_shares: "WeakKeyDictionary[asyncio.AbstractEventLoop, Shares]" = WeakKeyDictionary()


async def off_loop(make: Callable[[], T], *, heavy: bool) -> T:
    """What a function gives; it runs in a thread where it is heavy, else at once.

    Args:
        make: touches nothing that others use at the same time.
        heavy: whether it may take more than some milliseconds.
    """
    if not heavy:
        return make()
    loop = asyncio.get_running_loop()
    shares = _shares.setdefault(loop, Shares(_THREADS, each=1))
    async with shares.place(tenant()):
        running = loop.run_in_executor(_threads, partial(copy_context().run, make))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # The thread goes on: its place is free when it is done.
            await asyncio.wait([running])
            raise
