"""A local HTTP server for tests: records requests, gives scripted answers."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.local_server import LocalServer


@dataclass(frozen=True)
class Got:
    """A request that came in; `url` is path and query as they were sent."""

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


class HttpServer(LocalServer):
    """Runs in the event loop of the test: `async with HttpServer() as server`."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Got] = []
        self._script: deque[Says] = deque()
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        super().__init__(Route("/{path:path}", self._answer, methods=methods), port=port)

    def script(self, *answers: Says) -> None:
        """Answer the next requests with these; the ones after with "fine"."""
        self._script.extend(answers)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        url = path + (f"?{request.url.query}" if request.url.query else "")
        body = (await request.body()).decode()
        self.requests.append(Got(request.method, url, dict(request.headers), body))
        says = self._script.popleft() if self._script else Says()
        await asyncio.sleep(says.delay)
        return Response(says.body, says.status, says.headers)
