"""A crowd of clients that read slowly or not at all, send half a request, and vanish."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from app.kit.concurrency.tasks import end_tasks

HALF_SENT = "half of this was sent"

_CROWD = 40
_SMALL_BUFFER = 2048  # of the kernel: what is not read soon holds the sender up
_PAUSE = 0.1


@asynccontextmanager
async def slow_clients(base_url: str, api_key: str, rng: random.Random) -> AsyncIterator[None]:
    """Connected while the block lasts; then all of them vanish, without a word."""
    kinds = [_read_nothing, _read_slowly, _send_half, _vanish]
    connections = [await _connect(base_url) for _ in range(_CROWD)]
    headers = f"Host: api\r\nAuthorization: Bearer {api_key}\r\n"
    tasks = [
        asyncio.create_task(rng.choice(kinds)(connection, headers)) for connection in connections
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)
        for connection in connections:
            connection.close()


async def _connect(base_url: str) -> socket.socket:
    parts = urlsplit(base_url)
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    # What is closed is reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):  # the API is away
        await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
    return connection


async def _send(connection: socket.socket, request: str) -> None:
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(connection, request.encode())


async def _read_nothing(connection: socket.socket, headers: str) -> None:
    """Ask again and again, for what is large, and never look at an answer."""
    while True:
        await _send(connection, f"GET /v1/ai/threads?limit=100 HTTP/1.1\r\n{headers}\r\n")
        await asyncio.sleep(_PAUSE)


async def _read_slowly(connection: socket.socket, headers: str) -> None:
    await _send(connection, f"GET /v1/ai/threads?limit=100 HTTP/1.1\r\n{headers}\r\n")
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(connection, 10):  # noqa: ASYNC110 - slow
            await asyncio.sleep(_PAUSE)


async def _send_half(connection: socket.socket, headers: str) -> None:
    """The body never ends; what came of it says what must not be stored."""
    body = f'{{"messages": [{{"role": "user", "content": [{{"text": "{HALF_SENT}"}}]}}]}}'
    length = f"Content-Type: application/json\r\nContent-Length: {len(body) + 10}\r\n"
    await _send(connection, f"POST /v1/ai/threads HTTP/1.1\r\n{headers}{length}\r\n{body}")


async def _vanish(connection: socket.socket, headers: str) -> None:
    """Ask for much, and be gone before the answer is."""
    await _send(connection, f"GET /v1/ai/threads?limit=100 HTTP/1.1\r\n{headers}\r\n")
    connection.close()
