"""A request's head costs little before any key is looked at: it is bounded in bytes and in time."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.api.http.limits.connections import bounded_protocol
from app.settings.http import ApiSettings

HEAD_SECONDS = 0.3
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Any]]:
    """A connection to a server with the protocol, and the server's state."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Starlette(routes=[Route("/", echo, methods=["GET", "POST"])]),
        http=bounded_protocol(ApiSettings(head_seconds=HEAD_SECONDS)),
        log_config=None,
        lifespan="off",
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    yield reader, writer, server
    writer.close()
    server.should_exit = True
    await server.shutdown(sockets=[listener])


async def send_until_refused(writer: asyncio.StreamWriter, chunks: Iterator[bytes]) -> int:
    """How many bytes the server took before it closed, or all."""
    sent = 0
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    return sent


def endless(chunk: bytes) -> Iterator[bytes]:
    for _ in range(2_000):
        yield chunk


HEADER = b"X-%d: " + b"x" * 1_000 + b"\r\n"
ATTACKS = {
    "one header of 1 MB": [GET + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n"],
    "300 headers of 1 KB": [GET, *(HEADER % n for n in range(300)), b"\r\n"],
    "a header just too large": [GET + b"X: " + b"x" * 40_000 + b"\r\n\r\n"],
    "a value without end": [GET + b"X: ", *endless(b"x" * 1_000)],
    "a name without end": [GET, *endless(b"x" * 1_000)],
    "headers without end": [GET, *endless(HEADER % 1)],
    "an address without end": [b"GET /", *endless(b"x" * 1_000)],
}


@pytest.mark.parametrize("chunks", ATTACKS.values(), ids=ATTACKS)
async def test_a_head_that_is_too_large_is_refused(chunks: list[bytes]) -> None:
    async with connected() as (reader, writer, server), asyncio.timeout(20):
        sending = asyncio.create_task(send_until_refused(writer, iter(chunks)))
        head, _, body = (await reader.read(10_000)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 "), head
        assert b"connection: close" in head
        assert json.loads(body)["type"] == "urn:statewright:problem:headers-too-large"
        assert await reader.read() == b""
        [connection] = server.server_state.connections
        assert sum(len(name) + len(value) for name, value in connection.headers) < 40_000
        await sending


async def test_trailers_without_end_are_refused() -> None:
    start = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    async with connected() as (_, writer, _server), asyncio.timeout(20):
        assert await send_until_refused(writer, iter([start, *endless(HEADER % 1)])) < 1_000_000


@pytest.mark.parametrize("start", [b"", b"G", GET, GET + b"X: ", b"\r\n"])
async def test_a_head_that_does_not_end_is_not_waited_for(start: bytes) -> None:
    async with connected() as (reader, writer, _), asyncio.timeout(10):
        writer.write(start)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 " if start else b"")
        assert bool(answer) is bool(start)


async def test_bytes_that_keep_coming_do_not_put_the_end_off() -> None:
    async with connected() as (reader, writer, _), asyncio.timeout(10):
        dripping = asyncio.create_task(drip(writer))
        assert (await reader.read(20)).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(GET)
    while True:
        writer.write(b"X")
        await asyncio.sleep(0.02)


async def test_a_connection_is_kept_and_large_bodies_are_taken() -> None:
    """The time of a head is not that of an idle connection, nor that of a body."""
    body = b"x" * 300_000
    post = (
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 30_000 + b"\r\nContent-Length: 300000\r\n\r\n"
    )
    async with connected() as (reader, writer, _), asyncio.timeout(20):
        for _again in range(2):
            writer.write(post + body[:1_000])
            await asyncio.sleep(HEAD_SECONDS * 1.5)
            writer.write(body[1_000:])
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(body)) == body
            await asyncio.sleep(HEAD_SECONDS * 1.5)


async def test_what_is_no_request_is_a_problem_too() -> None:
    async with connected() as (reader, writer, _), asyncio.timeout(10):
        writer.write(b"nonsense\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["type"] == "urn:statewright:problem:bad-request"


async def test_every_server_refuses_what_is_too_large(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/health/live", headers={"X": "x" * 33_000})
    assert answer.status_code == 431
    assert answer.json()["type"] == "urn:statewright:problem:headers-too-large"
    assert (await anonymous.get("/health/live", headers={"X": "x" * 31_000})).status_code == 200
