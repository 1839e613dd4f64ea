"""Steps that may be what killed a worker: this worker runs them one after the other."""

from collections.abc import Awaitable, Callable

# More than that wait in PostgreSQL, and are published again by the sweeper.
_MOST = 1_000


class Suspects:
    """Whichever of them runs when this worker is lost too is the one to blame.

    They wait unclaimed, so that the end of the worker counts against none that waits, and so that
    another worker may take them.

    Args:
        run: runs the step of an id, if it is due and nobody else has it.
    """

    def __init__(self, run: Callable[[str], Awaitable[None]]) -> None:
        self._run = run
        self._waiting: dict[str, None] = {}
        self._is_running = False

    async def add(self, step_id: str) -> None:
        """Lets a step wait for its turn; where none runs, runs all that wait."""
        if len(self._waiting) < _MOST:
            self._waiting[step_id] = None
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._waiting:
                first = next(iter(self._waiting))
                del self._waiting[first]
                await self._run(first)
        finally:
            self._is_running = False
