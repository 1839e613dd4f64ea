"""What a wait depends on: one that is held for a client ends when the client may wait no longer.

Waits are far below where clients are known; a variable of the task leads there.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar

Hold = Callable[[], AbstractAsyncContextManager[None]]

_hold: ContextVar[Hold | None] = ContextVar("hold", default=None)


def hold_by(hold: Hold) -> None:
    """Notes what the waits of this task are within; it raises where they may go on no longer."""
    _hold.set(hold)


def held() -> AbstractAsyncContextManager[None]:
    """What was noted, for a wait; outside requests nothing."""
    hold = _hold.get()
    return nullcontext() if hold is None else hold()
