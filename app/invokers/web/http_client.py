"""The one place where outgoing HTTP clients are made: no proxies, no redirects, all bounded."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache

import httpcore2
import httpx2
from typing_extensions import override

from app.invokers.invoker import FailureKind, InvokerError
from app.invokers.web.answer_heads import AnswerTooLargeError, bounded_head
from app.invokers.web.egress import (
    GuardedBackend,
    Network,
    Resolve,
    parse_networks,
)
from app.invokers.web.resolver import RESOLVER

MAX_ANSWER_BYTES = 10_000_000
MAX_SECONDS = 600.0

# Below what servers wait before they close an idle connection (gunicorn 2 s, uvicorn and Node 5 s):
# a request that meets the close fails, and of a write nobody knows whether it was done.
_IDLE_SECONDS = 1.5

_ANY_ADDRESS = ("0.0.0.0/0", "::/0")

Wrap = Callable[[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport]


def _as_it_is(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
    return transport


class EncodedAnswerError(InvokerError):
    """The other side sent a compressed answer, which could unpack to any size."""


class CertificatesError(RuntimeError):
    """The certificates of the authorities that are trusted cannot be read."""


def check_certificates() -> None:
    """Reads the certificates by which servers are trusted, as the first client would.

    Raises:
        CertificatesError: they cannot be read; the text says what is wrong.
    """
    _ssl_context()


def guarded_client(
    allow: Sequence[str],
    *,
    max_bytes: int = MAX_ANSWER_BYTES,
    max_seconds: float = MAX_SECONDS,
    resolve: Resolve = RESOLVER,
    wrap: Wrap = _as_it_is,
) -> httpx2.AsyncClient:
    """A client for addresses that tenants name: it reaches global ones and those in `allow`.

    Args:
        allow: CIDRs that may be reached beside global addresses.
        max_bytes: a longer body raises `AnswerTooLargeError`.
        max_seconds: from the start of a request to the end of its body; over it, `ReadTimeout`.
        resolve: gives the addresses of a host name.
        wrap: puts a transport of its own around the guarded one.

    Raises:
        ValueError: `allow` holds something that is not a CIDR.
    """
    transport = BoundedTransport(
        parse_networks(allow), max_bytes=max_bytes, max_seconds=max_seconds, resolve=resolve
    )
    return httpx2.AsyncClient(
        transport=wrap(transport),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(max_seconds, connect=10.0),
    )


def operator_client(*, wrap: Wrap = _as_it_is) -> httpx2.AsyncClient:
    """A client for what the operator's own settings name: any address, this machine included."""
    return guarded_client(_ANY_ADDRESS, wrap=wrap)


def failure_kind(error: httpx2.HTTPError) -> FailureKind:
    """What failed, where a client of this module raised an error."""
    if isinstance(error, httpx2.TimeoutException):
        return FailureKind.TIMEOUT
    return FailureKind.ANSWER if isinstance(error, httpx2.DecodingError) else FailureKind.CONNECTION


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Connects through the egress guard and bounds each answer in size and time."""

    def __init__(
        self, allow: Sequence[Network], *, max_bytes: int, max_seconds: float, resolve: Resolve
    ) -> None:
        # The parent's constructor takes no network backend, so the pool it would make is made here.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_ssl_context(),
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=GuardedBackend(allow, resolve),
        )
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = asyncio.get_running_loop().time() + self._max_seconds
        request.headers["accept-encoding"] = "identity"
        try:
            async with asyncio.timeout_at(deadline):
                with bounded_head():
                    response = await super().handle_async_request(request)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("no answer in time", request=request) from error
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise EncodedAnswerError("the answer is compressed, though we asked for plain text")
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - of our own pool
        response.stream = BoundedStream(response.stream, self._max_bytes, deadline)
        return response


class BoundedStream(httpx2.AsyncByteStream):
    """A body that ends with an error when it is too long or too slow."""

    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int, deadline: float) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._deadline = deadline

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._inner)
        left = self._max_bytes
        while (chunk := await self._next(chunks)) is not None:
            left -= len(chunk)
            if left < 0:
                raise AnswerTooLargeError(f"the answer is larger than {self._max_bytes:,} bytes")
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(chunks, None)
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the answer did not end in time") from error


@lru_cache
def _ssl_context() -> ssl.SSLContext:
    """The TLS context, made once: certificates take milliseconds. `SSL_CERT_FILE` names others."""
    try:
        return httpx2.create_ssl_context(trust_env=True)
    except OSError as error:  # also what OpenSSL says of a file without a certificate
        raise CertificatesError(
            f"SSL_CERT_FILE: the certificates cannot be read: {error.strerror}."
        ) from None
