"""A local HTTP server for tests: records requests, gives scripted answers."""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Got:
    """A request that came in; `url` is path and query."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class Says:
    """A scripted answer."""

    body: str | bytes = "fine"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class HttpServer:
    """Runs in the event loop of the test: `async with HttpServer() as server`."""

    def __init__(self) -> None:
        self.requests: list[Got] = []
        self._script: deque[Says] = deque()
        self._socket = socket.create_server(("127.0.0.1", 0))
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        routes = [Route("/{path:path}", self._answer, methods=methods)]
        self._server = _QuietServer(
            uvicorn.Config(
                Starlette(routes=routes),
                log_config=None,
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def script(self, *answers: Says) -> None:
        """Answer the next requests with these; the ones after with "fine"."""
        self._script.extend(answers)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task
        self._socket.close()

    async def _answer(self, request: Request) -> Response:
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        body = (await request.body()).decode()
        self.requests.append(Got(request.method, url, dict(request.headers), body))
        says = self._script.popleft() if self._script else Says()
        await asyncio.sleep(says.delay)
        return Response(says.body, says.status, says.headers)


class _QuietServer(uvicorn.Server):
    """Leaves the signal handlers of the test process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
