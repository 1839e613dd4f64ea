"""Connections are bounded, and none is held for a client that does not go on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.api.http.limits.connections import BoundedProtocol, bounded_protocol
from app.cli.run import api
from app.settings.http import ApiSettings

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
MAX = 4
HUGE = 30_000_000
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """The protocol on a port, and what it did."""

    def __init__(self, address: tuple[str, int], state: uvicorn.server.ServerState) -> None:
        self.address = address
        self.state = state
        self.go_on = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, sends: bytes = b"") -> Streams:
        reader, writer = await asyncio.open_connection(*self.address, limit=2**16)
        self.writers.append(writer)
        writer.write(sends)
        return reader, writer


@asynccontextmanager
async def serving(ws: Any = "none") -> AsyncIterator[Server]:
    async def quick(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def held(request: Request) -> PlainTextResponse:
        await served.go_on.wait()
        return PlainTextResponse("ok")

    async def huge(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * HUGE)

    routes = [
        Route("/", quick, methods=["GET", "POST"]),
        Route("/held", held),
        Route("/huge", huge),
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    settings = ApiSettings(max_connections=MAX, answer_seconds=0.1)
    config = uvicorn.Config(
        Starlette(routes=routes),
        http=bounded_protocol(settings),
        log_config=None,
        lifespan="off",
        ws=ws,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    served = Server(listener.getsockname(), server.server_state)
    try:
        async with asyncio.timeout(20):
            yield served
    finally:
        served.go_on.set()
        for writer in served.writers:
            writer.close()
        server.should_exit = True
        await server.shutdown(sockets=[listener])


async def answered(reader: asyncio.StreamReader, status: bytes = b"200") -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status), head


async def test_the_connection_that_is_idle_longest_makes_room() -> None:
    async with serving() as server:
        opened = []
        for _ in range(MAX * 3):
            opened.append(await server.connect())
            await asyncio.sleep(0.01)
            assert len(server.state.connections) <= MAX
        for reader, _writer in opened[:-MAX]:
            assert await reader.read() == b""
        opened[-1][1].write(GET % b"")
        await answered(opened[-1][0])


async def test_what_is_answered_is_not_closed_for_others() -> None:
    async with serving() as server:
        held = [await server.connect(GET % b"held") for _ in range(MAX)]
        await asyncio.sleep(0.1)
        reader, _ = await server.connect(GET % b"")
        await answered(reader, b"503")
        server.go_on.set()
        for reader, _ in held:
            await answered(reader)


async def test_who_takes_nothing_of_an_answer_is_not_waited_for() -> None:
    async with serving() as server:
        reader, _ = await server.connect(GET % b"huge")
        for _ in range(200):
            await asyncio.sleep(0.02)
            if not server.state.connections:
                break
        assert not server.state.connections
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(HUGE)


async def test_the_rest_of_a_body_that_was_answered_is_bounded() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n"
    async with serving() as server:
        reader, writer = await server.connect(head)
        await answered(reader)
        sent = 0
        with suppress(ConnectionError):
            while sent < 100_000_000:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        assert sent < 30_000_000


async def test_a_body_that_was_answered_may_end() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
    async with serving() as server:
        reader, writer = await server.connect(head)
        await answered(reader)
        writer.write(b"x" * 500_000 + GET % b"")
        await reader.readexactly(2)
        await answered(reader)


async def test_no_other_protocol_is_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command sets the server up."""
    options: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _app, **given: options.update(given))
    monkeypatch.setenv("STATEWRIGHT_DEV", "true")
    api()
    assert (options["proxy_headers"], options["server_header"]) == (False, False)
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serving(options["ws"]) as server:
        reader, _ = await server.connect(upgrade)
        await answered(reader)


async def test_requests_that_come_behind_each_other_are_answered_in_order() -> None:
    async with serving() as server:
        reader, _ = await server.connect(GET % b"" * (BoundedProtocol.max_pipelined + 1))
        for _ in range(BoundedProtocol.max_pipelined + 1):
            await answered(reader)
            assert await reader.readexactly(2) == b"ok"


async def test_few_requests_may_wait_behind_one() -> None:
    """A quarter of a megabyte holds 14,000: they took 15 MB and a second of the event loop."""
    async with serving() as server:
        requests = GET % b"held" + b"GET / HTTP/1.1\r\n\r\n" * 14_000
        reader, _ = await server.connect(requests)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert len(server.state.tasks) <= 1
