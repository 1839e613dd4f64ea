"""Measures how late the event loop is, and says who held it up.

What holds the loop holds up everybody: it belongs into a thread. A timer finds that the loop was
late; a thread looks meanwhile at what it does.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from structlog import get_logger

log = get_logger(__name__)

_BEAT_SECONDS = 0.05
_LATE_SECONDS = 0.1
# After the last beat: soon it is late. It is looked then, and only as often as a beat may be so
# long ago: each look takes the interpreter from the loop.
_SOON_LATE_SECONDS = _BEAT_SECONDS + 0.75 * _LATE_SECONDS
_OWN_CODE = str(Path(__file__).parents[2])

_work: "WeakKeyDictionary[asyncio.Task[Any], dict[str, str]]" = WeakKeyDictionary()


def works_on(**ids: str) -> None:
    """Notes what the current task is for, such as a request, beside what was noted before."""
    task = asyncio.current_task()
    if task is not None:
        _work.setdefault(task, {}).update(ids)


@contextmanager
def watch_loop() -> Iterator[None]:
    """Writes a warning whenever the loop was held up for more than a tenth of a second."""
    watch = _Watch(asyncio.get_running_loop())
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class _Watch:
    """The timer and the thread of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._beaten = time.monotonic()
        self._seen: dict[str, str] | None = None
        self._ended = threading.Event()
        self._timer = loop.call_later(_BEAT_SECONDS, self._beat)

    def start(self) -> None:
        threading.Thread(target=self._look_for_ever, name="loop lag", daemon=True).start()

    def stop(self) -> None:
        self._timer.cancel()
        self._ended.set()

    def _beat(self) -> None:
        now = time.monotonic()
        lag = now - self._beaten - _BEAT_SECONDS
        if lag > _LATE_SECONDS:
            log.warning("event loop held up", lag_ms=round(lag * 1000), **(self._seen or {}))
        self._beaten, self._seen = now, None
        self._timer = self._loop.call_later(_BEAT_SECONDS, self._beat)

    def _look_for_ever(self) -> None:
        pause = _SOON_LATE_SECONDS
        while not self._ended.wait(pause):
            pause = self._beaten + _SOON_LATE_SECONDS - time.monotonic()
            if pause <= 0:
                self._seen = self._seen or self._look()
                pause = _BEAT_SECONDS

    def _look(self) -> dict[str, str]:
        """What the loop does at this moment; a task that ends meanwhile has nothing noted."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - documented so
        task = asyncio.current_task(self._loop)
        noted = {} if task is None else _work.get(task, {})
        return {**noted, "where": _place(frame)}


def _place(frame: FrameType | None) -> str:
    """The innermost line of our own code, or else of any."""
    innermost = frame
    while frame is not None and not frame.f_code.co_filename.startswith(_OWN_CODE):
        frame = frame.f_back
    shown = frame or innermost
    if shown is None:
        return "unknown"
    path = shown.f_code.co_filename.removeprefix(f"{_OWN_CODE}/")
    return f"{path}:{shown.f_lineno} {shown.f_code.co_name}"
