"""A lean HTTP/1.1 client: one keep-alive connection, one request at a time, next to no CPU."""

import asyncio
from typing import Self
from urllib.parse import urlsplit

import httptools
import orjson


class Connection(asyncio.Protocol):
    """One connection to one server. Open with `await Connection.open(base_url, token)`."""

    def __init__(self, base_url: str, token: str) -> None:
        self._address = urlsplit(base_url)
        authorization = f"authorization: Bearer {token}\r\n" if token else ""
        self._head = f"host: {self._address.netloc}\r\n{authorization}"
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body: list[bytes] = []

    @classmethod
    async def open(cls, base_url: str, token: str = "") -> Self:
        """Connect to `http://host:port`."""
        connection = cls(base_url, token)
        await connection._connect()
        return connection

    async def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send a request and wait for its answer: status and body.

        Raises:
            ConnectionError: the server hung up instead of answering.
        """
        # Servers hang up after some idle seconds.
        transport = self._transport or await self._connect()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if body:
            head += f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        self._answer = asyncio.get_running_loop().create_future()
        transport.write(head.encode() + b"\r\n" + body)
        return await self._answer

    async def _connect(self) -> asyncio.Transport:
        self._parser = httptools.HttpResponseParser(self)
        self._transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: self, self._address.hostname, self._address.port
        )
        return self._transport

    async def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Send JSON and read JSON.

        Raises:
            AssertionError: the answer is not a success.
        """
        sent = b"" if body is None else orjson.dumps(body)
        status, content = await self.request(method, path, sent)
        if status not in {200, 201}:
            raise AssertionError(f"{method} {path}: {status} {content[:200]!r}")
        answer: dict[str, object] = orjson.loads(content)
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    # What asyncio and the parser call.

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))
