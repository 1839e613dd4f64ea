"""A child process that cannot outlive this one, with its output in a log file."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_TETHER = str(Path(__file__).with_name("tether.py"))
_REPORT = "statewright: "  # how a command of ours begins to report its error
_TAIL_BYTES = 10_000
_LOOK_SECONDS = 0.05  # a look costs a process that starts some of its time


class StartError(Exception):
    """A service did not start; the message says which, why and where its log is."""


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def _feed(pipe: asyncio.StreamWriter | None, data: bytes) -> None:
    if pipe:
        pipe.write(data)
        await pipe.drain()
        pipe.close()


class Process:
    """One run of a program at a time; `start` may be called again after it ended.

    Args:
        name: what messages and the log file call it.
        command: absolute path of the program, and its arguments.
        log: file that its output is appended to.
        environment: its whole environment; this process's own when None.
        directory: where it runs.
        user: whom it runs as; only root may name one.
        orphan_signal: what the kernel sends it when this process dies.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: str = "",
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._directory = directory
        self._tether = (str(int(orphan_signal)), str(os.getpid()), user)
        self._running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None when it does not run."""
        return self._running.pid if self.is_running and self._running else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._running is not None and self._running.returncode is None

    async def start(self, stdin: bytes = b"") -> None:
        """Starts it, in a session of its own: the terminal's Ctrl-C is this process's to handle."""
        with self.log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", _TETHER, *self._tether, *self._command),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
            )
        with suppress(BrokenPipeError, ConnectionResetError):  # it ended already: `wait` says so
            await _feed(self._running.stdin, stdin)

    async def wait(self) -> int:
        """Waits for its end. Returns the exit code, negative for a signal."""
        return await self._running.wait() if self._running else 0

    async def wait_until(
        self, is_up: Callable[[], Coroutine[Any, Any, bool]], *, seconds: float
    ) -> None:
        """Asks until it is up.

        Raises:
            StartError: it ended, or the time did.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await is_up():
                    if not self.is_running:
                        raise StartError(f"{self.name} ended at once. {self.last_words()}")
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise StartError(
                f"{self.name} was not up within {seconds:.0f} s. {self.last_words()}"
            ) from None

    async def stop(self, *signals: tuple[signal.Signals, float]) -> None:
        """Sends each signal and waits that many seconds for the end; kills after the last.

        What the process left behind in its process group is killed too.
        """
        process = self._running
        if process is None:
            return
        for number, seconds in signals:
            if process.returncode is not None:
                break
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    def last_words(self) -> str:
        """What its log ends with: the error that it reported, or its last line."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        reports = [number for number, line in enumerate(lines) if line.startswith(_REPORT)]
        last = "\n".join(lines[reports[-1] if reports else -1 :]) or "(empty)"
        return f"The end of {self.log}: {last.removeprefix(_REPORT)}"
