"""A way to PostgreSQL that can be made to hang: what is connected stays so, nothing is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class StallingProxy:
    """Passes bytes on while `flowing` is set."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str) -> AsyncIterator[Self]:
        """Listen while the block lasts; `url` is the database's, through the proxy."""
        parts = urlsplit(database_url)
        proxy = cls((parts.hostname or "", parts.port or 5432))
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        credentials = parts.netloc.rpartition("@")[0]
        # Without TLS: only the connection itself is to hang.
        netloc = f"{credentials}@127.0.0.1:{port}"
        proxy.url = parts._replace(netloc=netloc, query="sslmode=disable").geturl()
        try:
            yield proxy
        finally:
            proxy.flowing.set()
            server.close()
            await asyncio.gather(*proxy._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.flowing.wait()
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                await self.flowing.wait()
                sink.write(data)
        sink.close()
