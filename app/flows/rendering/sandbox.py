"""Renders untrusted templates in child processes that are bounded in time and memory.

Two lanes keep unknown templates apart from proven ones: a template runs in the probation lane
until it was once rendered in time, then in the proven lane, and goes back when it runs over. So a
flood of templates that never end holds up other new ones of its org, but no flow that is in use.

Processor time and memory alone show a bad template: the kernel ends the child that uses too much.
A child that is killed from outside, does not start or does not get to run (a machine that is
paused or starved) says nothing of the template: another child is asked, and after that the error
is a `RendererLostError`, with which the work is put back.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import orjson
from structlog import get_logger
from typing_extensions import override

from app.errors import RendererLostError
from app.flows.rendering import sandbox_child
from app.flows.rendering.jinja import (
    TemplateError,
    TemplateRenderer,
    TemplateTimeoutError,
    storable,
)
from app.kit.concurrency.shares import Shares, tenant

log = get_logger(__name__)

START_SECONDS = 20.0
_TOO_LONG = "the template took too long and was stopped"
_LOST = "The template could not be rendered now; try again."
MAX_PROVEN = 4096
_TICKS = os.sysconf("SC_CLK_TCK")
_KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one render may take, and how many run at once.

    Attributes:
        size: child processes of the proven lane; the probation lane has one more.
        cpu_seconds: processor time of one render.
        wall_seconds: after so long a child is given up; a template that used half of its
            processor time by then is stopped for good.
        memory_bytes: address space of a child; an idle one takes about 25 MB of it.
        output_bytes: longest rendered text.
    """

    size: int = 2
    cpu_seconds: float = 0.5
    wall_seconds: float = 1.5
    memory_bytes: int = 192 * 1024 * 1024
    output_bytes: int = 1_000_000


class SandboxRenderer(TemplateRenderer):
    """Renders in the sandbox; children start when they are needed and are replaced when killed."""

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        limits = limits or SandboxLimits()
        self._proven_lane = _Lane(limits, limits.size)
        self._probation_lane = _Lane(limits, 1)
        self._proven: OrderedDict[int, None] = OrderedDict()  # hashes of texts

    @override
    async def render(self, text: str, context: Mapping[str, Any], mark: str = "") -> str:
        try:
            request = orjson.dumps([text, context, mark])
        except TypeError:
            raise TemplateError("the template's data is not JSON") from None
        key = hash(text)
        lane = self._proven_lane if key in self._proven else self._probation_lane
        try:
            answer = await lane.ask(request)
        except TemplateError:
            self._proven.pop(key, None)
            raise
        self._remember(key)
        if answer[:1] != b"+":
            raise TemplateError(answer[1:].decode(errors="replace"))
        return storable(answer[1:].decode())

    @override
    async def close(self) -> None:
        await asyncio.gather(self._proven_lane.close(), self._probation_lane.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _remember(self, key: int) -> None:
        self._proven[key] = None
        self._proven.move_to_end(key)
        if len(self._proven) > MAX_PROVEN:
            self._proven.popitem(last=False)


class _Lane:
    """A few children, and the queue in front of them, in which orgs take turns."""

    def __init__(self, limits: SandboxLimits, size: int) -> None:
        self._limits = limits
        self._places = Shares(size, each=size)
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._closed = False

    async def ask(self, request: bytes) -> bytes:
        """Has a child answer; a new one once more if that is lost.

        Raises:
            TemplateError: the template takes too much, or a child crashes on it each time.
            RendererLostError: both were lost for reasons that are not the template's.
        """
        async with self._places.place(tenant()):
            with suppress(_ChildLostError):
                return await self._ask_a_child(request, self._idle.pop() if self._idle else None)
            try:
                return await self._ask_a_child(request, None)
            except _ChildCrashedError:
                raise TemplateError("the renderer stopped while it worked on this") from None
            except _ChildLostError:
                raise RendererLostError(_LOST, retry_after=1) from None

    async def _ask_a_child(self, request: bytes, child: "_Child | None") -> bytes:
        self._check_open()
        child = child or await self._start()
        try:
            self._check_open()  # closing may have missed one that was starting
            answer = await child.ask(request)
        except BaseException:  # also when the caller is cancelled: the answer is still to come
            self._children.discard(child)
            await child.kill()
            raise
        self._idle.append(child)
        return answer

    async def _start(self) -> "_Child":
        child = await _Child.start(self._limits)
        self._children.add(child)
        return child

    def _check_open(self) -> None:
        if self._closed:
            raise TemplateError("the renderer is closed")

    async def close(self) -> None:
        self._closed = True
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in self._children))
        self._children.clear()


@cache
def _log_walls(standing: str) -> None:
    """Says once which walls children have; see `sandbox_walls`."""
    walls = standing.split()
    log.info("templates of tenants are rendered behind walls", walls=["limits", *walls])


class _ChildLostError(Exception):
    """The child is gone or silent for a reason that is not the template's."""


class _ChildCrashedError(_ChildLostError):
    """The child ended by itself: if that comes again, it is by the template."""


class _Child:
    """One renderer process, asked one thing at a time."""

    def __init__(self, process: Process, limits: SandboxLimits) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process must have pipes")
        self._process = process
        self._limits = limits
        self._requests = process.stdin
        self._answers = process.stdout

    @classmethod
    async def start(cls, limits: SandboxLimits) -> Self:
        """Starts one, with nothing of this process's environment; back when it can be asked."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", sandbox_child.__file__),
                *(str(limits.memory_bytes), str(limits.output_bytes), str(limits.cpu_seconds)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={},
                cwd="/",
            )
        except OSError as error:  # no memory, process or file is left
            raise _ChildLostError from error
        child = cls(process, limits)
        try:
            async with asyncio.timeout(START_SECONDS):
                _log_walls((await child._receive()).decode())
        except BaseException as error:
            await child.kill()
            if isinstance(error, TimeoutError):
                raise _ChildLostError from error
            raise
        return child

    async def ask(self, request: bytes) -> bytes:
        """Sends a request, gives back the answer; the child is of no more use after an error."""
        before = self._processor_seconds()
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                self._send(request)
                return await self._receive()
        except TimeoutError:
            if self._processor_seconds() - before < self._limits.cpu_seconds / 2:
                raise _ChildLostError from None
            raise TemplateTimeoutError(_TOO_LONG) from None
        except _ChildCrashedError:
            raise
        except _ChildLostError:
            raise await self._reason_of_its_end() from None

    async def kill(self) -> None:
        """Ends it, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        self._requests.close()
        await self._process.wait()

    def _processor_seconds(self) -> float:
        """What it used so far; 0 where the system does not say (then it is given up as lost)."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def _send(self, request: bytes) -> None:
        if self._requests.is_closing():  # it ended while it was idle; uvloop would raise
            raise _ChildLostError
        self._requests.write(len(request).to_bytes(4) + request)

    async def _receive(self) -> bytes:
        try:
            size = int.from_bytes(await self._answers.readexactly(4))
            if size > self._limits.output_bytes + 1024:
                raise _ChildCrashedError
            return await self._answers.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _ChildLostError from None

    async def _reason_of_its_end(self) -> Exception:
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                code = await self._process.wait()
        except TimeoutError:
            return _ChildLostError()
        if code == -signal.SIGPROF:
            return TemplateTimeoutError(_TOO_LONG)
        if code == sandbox_child.OUT_OF_MEMORY:
            return TemplateError("the template needs too much memory and was stopped")
        return _ChildLostError() if -code in _KILLS else _ChildCrashedError()
