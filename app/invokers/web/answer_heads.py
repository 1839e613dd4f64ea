"""Bounds what a server sends before its answer: any number of `1xx` answers may come first."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import httpcore2
from typing_extensions import override

from app.invokers.invoker import InvokerError

# A head, what comes before it, and what of the body comes with it: the parser takes a head of 100
# KB, and a read 64 KB.
_MAX_BYTES = 250_000


class AnswerTooLargeError(InvokerError):
    """The other side sent more than we take."""


_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


@contextmanager
def bounded_head() -> Iterator[None]:
    """Bounds the bytes that the block may read from a server until it has the answer's head.

    Raises:
        AnswerTooLargeError: more came.
    """
    token = _left.set([_MAX_BYTES])
    try:
        yield
    finally:
        _left.reset(token)


class HeadBoundedStream(httpcore2.AsyncNetworkStream):
    """A connection whose reads count within `bounded_head`."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        if (left := _left.get()) is not None:
            left[0] -= len(data)
            if left[0] < 0:
                raise AnswerTooLargeError("the head of the answer does not end")
        return data

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()

    @override
    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        return HeadBoundedStream(inner)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
