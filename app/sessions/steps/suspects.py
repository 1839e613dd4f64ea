"""Steps that may be what killed a worker: this worker runs them one after the other."""

from collections.abc import Awaitable, Callable

# More than that wait in PostgreSQL, and are published again by the sweeper.
_MOST = 1_000


class Suspects:
    """Runs suspects one by one: the one that runs when this worker is lost too is to blame.

    They wait unclaimed, so that the end of the worker counts against none that waits, and so that
    another worker may take them.

    Args:
        run: runs the step of an id, if it is due and nobody else has it.
        at_once: how many run at once; with more than one, each that runs is to blame.
    """

    def __init__(self, run: Callable[[str], Awaitable[None]], at_once: int) -> None:
        self._run = run
        self._free = at_once
        self._waiting: dict[str, None] = {}

    async def add(self, step_id: str) -> None:
        """Lets a step wait for its turn; where one more may run, runs all that wait."""
        if len(self._waiting) < _MOST:
            self._waiting[step_id] = None
        if not self._free:
            return
        self._free -= 1
        try:
            while self._waiting:
                first = next(iter(self._waiting))
                del self._waiting[first]
                await self._run(first)
        finally:
            self._free += 1
