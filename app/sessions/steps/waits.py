"""Looks after steps that wait without a worker: their time may be up, or a wake-up was lost."""

from app.sessions.runtime import Runtime
from app.sessions.turn.waking import wake

_MOST_STEPS = 500  # of one look


class WaitingSteps:
    """Walks through what steps wait for, a bounded part at each look."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._after = ""

    async def look(self) -> None:
        """Wakes those of the steps that come next which wait no longer; starts again at the end."""
        waits = await self._runtime.store.waits(self._after, _MOST_STEPS)
        if waits:
            await wake(self._runtime, waits)
        self._after = waits[-1] if len(waits) == _MOST_STEPS else ""
