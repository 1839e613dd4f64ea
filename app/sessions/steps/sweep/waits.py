"""Looks after what steps wait for without a worker: a wake-up or a cancel may have been lost."""

from app.sessions.runtime import Runtime
from app.sessions.turn.ending import end_wait
from app.sessions.turn.waking import wake

_MOST_STEPS = 500  # of one look


class WaitingSteps:
    """Walks through what steps wait for, a bounded part at each look."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._after = ""

    async def look(self) -> None:
        """Looks at the waits that come next; after the last one, starts again.

        Steps that need not wait any longer are woken. Sessions that steps waited for when their
        invocations ended are cancelled.
        """
        waits = await self._runtime.store.waits(self._after, _MOST_STEPS)
        self._after = waits[-1].waits_for if len(waits) == _MOST_STEPS else ""
        if open_ := [wait.waits_for for wait in waits if not wait.ended]:
            await wake(self._runtime, open_)
        for wait in (wait for wait in waits if wait.ended):
            await end_wait(self._runtime, wait)
