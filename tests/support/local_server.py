"""A Starlette application on a free port of this machine, in the event loop of the test."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route


class LocalServer:
    """Serves routes while the block lasts: `async with … as server`."""

    def __init__(self, *routes: Route, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        config = uvicorn.Config(
            Starlette(routes=routes),
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = _QuietServer(config)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task
        self._socket.close()


class _QuietServer(uvicorn.Server):
    """Leaves the signal handlers of the test process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
