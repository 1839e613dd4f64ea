"""Keeps children running: starts them, starts again those that die, stops them all."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from app.dev.process import Process, StartError
from app.errors import error_line

_LONG_LIFE_SECONDS = 10.0  # who lived for so long is started again at once
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)


class Child(Protocol):
    """What the supervisor keeps running."""

    process: Process

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Supervisor:
    """Runs groups of children; a later group needs the earlier ones, and stops before them.

    Args:
        say: shows one line to the person who watches.
        changed: called when a child has been started again under a new process id.
    """

    def __init__(self, *, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say = say
        self._changed = changed
        self._groups: list[Sequence[Child]] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, *children: Child) -> None:
        """Starts a group, all at once, and keeps it running from now on.

        Raises:
            StartError: one did not come up.
        """
        self._groups.append(children)
        try:
            async with asyncio.TaskGroup() as tasks:
                for child in children:
                    tasks.create_task(child.start())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        self._keepers += [asyncio.create_task(self._keep(child)) for child in children]

    async def stop(self) -> None:
        """Stops all children, the last group first."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for group in reversed(self._groups):
            await asyncio.gather(*(child.stop() for child in group))

    async def _keep(self, child: Child) -> None:
        """Starts a child again whenever it ends, whatever goes wrong in between."""
        failures = 0
        while True:
            started = asyncio.get_running_loop().time()
            code = await child.process.wait()
            if asyncio.get_running_loop().time() - started > _LONG_LIFE_SECONDS:
                failures = 0
            self._show(f"{child.process.name} ended ({_reason(code)}); starting it again")
            while not await self._restarted(child, failures):
                failures += 1
            failures += 1
            self._show(f"{child.process.name} is up again (process {child.process.pid})")

    async def _restarted(self, child: Child, failures: int) -> bool:
        await asyncio.sleep(_pause(failures))
        try:
            await child.start()
            self._changed()
        except Exception as error:  # noqa: BLE001 - each leaves the child to be started again
            wait = _pause(failures + 1)
            self._show(f"{_cause(child, error)}\nTrying again in {wait:g} s.")
            await self._end(child)
            return False
        return True

    async def _end(self, child: Child) -> None:
        """Stops what is left of a start that failed."""
        try:
            await child.stop()
        except Exception as error:  # noqa: BLE001 - the next start finds out
            self._show(_cause(child, error))

    def _show(self, line: str) -> None:
        with suppress(OSError, ValueError):  # nobody watches any more
            self._say(line)


def _pause(failures: int) -> float:
    return _PAUSES[min(failures, len(_PAUSES) - 1)]


def _cause(child: Child, error: Exception) -> str:
    if isinstance(error, StartError):
        return str(error)
    text = f"{type(error).__name__}: {error_line(error)}"
    return f"{child.process.name} did not come up: {text}"


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # most real-time signals have no name
        return f"signal {-code}"
