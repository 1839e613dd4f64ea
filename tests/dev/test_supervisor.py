"""The supervisor keeps its children running, whatever goes wrong while it starts them again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.dev.process import Process, StartError
from app.dev.supervisor import Supervisor


class Sleeper:
    """A child whose next starts fail after its process is there, each with one of `errors`."""

    def __init__(self, log: Path) -> None:
        self.process = Process("sleeper", ["/bin/sleep", "60"], log=log)
        self.errors: list[Exception] = []
        self.stop_errors: list[Exception] = []

    async def start(self) -> None:
        await self.process.start()
        if self.errors:
            raise self.errors.pop(0)

    async def stop(self) -> None:
        await self.process.stop()
        if self.stop_errors:
            raise self.stop_errors.pop(0)

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


class Watched:
    """A supervisor with one child, and what it said."""

    def __init__(self, log: Path) -> None:
        self.lines: list[str] = []
        self.changes: list[Exception | None] = []
        self.child = Sleeper(log)
        self._said = asyncio.Event()
        self.supervisor = Supervisor(say=self._say, changed=self._changed)

    def _say(self, line: str) -> None:
        self.lines.append(line)
        self._said.set()

    def _changed(self) -> None:
        if self.changes and (error := self.changes.pop(0)):
            raise error

    async def until_said(self, text: str) -> None:
        async with asyncio.timeout(20):
            while not any(text in line for line in self.lines):
                self._said.clear()
                await self._said.wait()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    made = Watched(tmp_path / "sleeper.log")
    await made.supervisor.start(made.child)
    yield made
    await made.supervisor.stop()
    assert not made.child.process.is_running


async def test_a_child_is_started_again_after_every_kind_of_error(watched: Watched) -> None:
    watched.child.errors = [
        asyncpg.CannotConnectNowError("the database system is shutting down"),
        StartError("sleeper ended at once."),
        ConnectionRefusedError("refused"),
    ]
    watched.child.stop_errors = [RuntimeError("cannot stop")]

    watched.child.kill()
    await watched.until_said("is up again")

    said = "\n".join(watched.lines)
    assert "sleeper ended (SIGKILL); starting it again" in said
    assert "CannotConnectNowError: the database system is shutting down" in said
    assert "RuntimeError: cannot stop" in said
    assert "sleeper ended at once.\nTrying again in 0.5 s." in said
    assert "ConnectionRefusedError: refused" in said
    assert f"sleeper is up again (process {watched.child.process.pid})" in said


async def test_a_list_of_processes_that_cannot_be_written_is_no_end(watched: Watched) -> None:
    watched.changes = [OSError("No space left on device")]

    watched.child.kill()
    await watched.until_said("No space left on device")
    await watched.until_said("is up again")


async def test_a_signal_without_a_name_is_told_by_its_number(watched: Watched) -> None:
    watched.child.kill(signal.SIGRTMIN + 3)

    await watched.until_said(f"ended (signal {signal.SIGRTMIN + 3})")
    await watched.until_said("is up again")
