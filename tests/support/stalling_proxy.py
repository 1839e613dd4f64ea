"""A way to a server that can be made to hang, or be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class StallingProxy:
    """Passes bytes on while `flowing` is set: else what is connected stays so, without an answer.

    While only `answering` is not set, requests arrive and are carried out.

    Args:
        target: host and port.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.answering = asyncio.Event()
        self.answering.set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Listen while the block lasts; the proxy's `url` is the server's, through it."""
        parts = urlsplit(url)
        proxy = cls((parts.hostname or "", parts.port or 5432))
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        credentials = parts.netloc.rpartition("@")[0]
        # Without TLS: only the connection itself is to hang.
        query = "sslmode=disable" if parts.scheme.startswith("postgres") else parts.query
        netloc = f"{credentials}@127.0.0.1:{port}"
        proxy.url = parts._replace(netloc=netloc, query=query).geturl()
        try:
            yield proxy
        finally:
            proxy.flowing.set()
            proxy.answering.set()
            server.close()
            await asyncio.gather(*proxy._tasks)

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.flowing.wait()
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away, as its clients may see
            writer.transport.abort()
            return
        both = {writer, there_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pass(reader, there_writer, self.flowing),
                self._pass(there_reader, writer, self.flowing, self.answering),
            )
        finally:
            self._writers -= both

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *open_: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                for gate in open_:
                    await gate.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
