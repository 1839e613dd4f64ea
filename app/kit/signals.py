"""Learns of the signal that asks the process to stop, before whoever handles it does."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def when_asked_to_stop(action: Callable[[], None]) -> Iterator[None]:
    """Does something in the event loop at SIGTERM or SIGINT while the block lasts.

    The handler that is there, the server's, is called as well. Where none is there, or outside the
    main thread, nothing is done.
    """
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(action)
        before[signal.Signals(number)](number, frame)

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            if callable(handler := signal.getsignal(number)):
                before[number] = handler
                signal.signal(number, handle)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
