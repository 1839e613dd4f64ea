"""What went over the wire to an MCP server: by it, not by the client's errors, a call is judged."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from typing_extensions import override

from app.invokers.invoker import (
    FailureKind,
    InvokerError,
    TransientInvokerError,
    UnknownOutcomeError,
)
from app.invokers.mcp_servers.json_values import JsonValues
from app.invokers.web.answer_heads import AnswerTooLargeError
from app.invokers.web.http_client import failure_kind
from app.invokers.web.statuses import status_error

# After these nothing of the request has reached the other side; the first never will.
_NOT_SENDABLE = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
_NOT_SENT = (*_NOT_SENDABLE, httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_GOODBYE_SECONDS = 0.5  # of the request that ends the server's session: nobody waits for it
_MULTIPLE_CHOICES = 300
# The library reads each answer whole, and a list of tools has a hundred pages.
_MAX_VALUES = 50_000  # of one answer
_MAX_VALUES_OF_ALL = 200_000
_MAX_RESUMED = 5  # streams: the library goes on for ever where each ends at once


class Wire(httpx2.AsyncBaseTransport):
    """A transport that remembers what came of the last request.

    Attributes:
        is_sent: whether the call itself may have reached the server.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._fault: Exception | None = None
        self._refusal: httpx2.Response | None = None
        self._resumed = 0
        self._values = 0  # in all answers
        self.is_sent = False

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            return await self._say_goodbye(request)
        if request.method != "POST":
            return await self._listen(request)
        was_sent, self.is_sent = self.is_sent, self.is_sent or _is_call(request)
        self._fault = self._refusal = None
        try:
            response = await self._inner.handle_async_request(request)
        except Exception as error:
            self.failed(error)
            if isinstance(error, (*_NOT_SENT, InvokerError)):
                self.is_sent = was_sent
            raise
        if response.status_code >= _MULTIPLE_CHOICES:
            self._refusal = response
        return self._watched(response)

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()

    def failed(self, error: Exception) -> None:
        """Keeps the first thing that went wrong since the last request."""
        self._fault = self._fault or error

    def count(self, values: int) -> None:
        """Counts what came of any answer.

        Raises:
            AnswerTooLargeError: all of them have too many values.
        """
        self._values += values
        if self._values > _MAX_VALUES_OF_ALL:
            raise AnswerTooLargeError(f"the answers have more than {_MAX_VALUES_OF_ALL:,} values")

    def error(self) -> InvokerError | None:
        """What the failure of a request was, so far as the wire shows it; no library's words."""
        if isinstance(self._fault, InvokerError):  # of the egress guard, or of the bounds
            made = "the call was made, but " if self.is_sent else ""
            return InvokerError(f"{made}{self._fault}")
        if isinstance(self._fault, _NOT_SENDABLE):
            return InvokerError("the request cannot be sent: its address is no URL")
        if self._fault is not None:
            return self._broken(self._fault)
        if self._refusal is not None:
            status = self._refusal.status_code
            return status_error(f"the MCP server answered {status}", status, self._refusal.headers)
        return None

    def unreadable(self) -> InvokerError:
        """An answer came, and it says nothing that could be understood."""
        text = "the MCP server's answer cannot be read"
        if self.is_sent:
            return UnknownOutcomeError(text, kind=FailureKind.ANSWER)
        return InvokerError(text, kind=FailureKind.ANSWER)

    def _broken(self, fault: Exception) -> InvokerError:
        kind = failure_kind(fault) if isinstance(fault, httpx2.HTTPError) else FailureKind.of(fault)
        if self.is_sent:
            return UnknownOutcomeError("the MCP server did not answer", kind=kind)
        return TransientInvokerError("the MCP server could not be reached", kind=kind)

    async def _listen(self, request: httpx2.Request) -> httpx2.Response:
        """Goes on with an answer that broke off; what a server says unasked is not listened to."""
        self._resumed += 1
        if "last-event-id" not in request.headers or self._resumed > _MAX_RESUMED:
            return httpx2.Response(httpx2.codes.METHOD_NOT_ALLOWED, request=request)
        return self._watched(await self._inner.handle_async_request(request))

    def _watched(self, response: httpx2.Response) -> httpx2.Response:
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - of our own pool
        response.stream = _WatchedStream(response.stream, self)
        return response

    async def _say_goodbye(self, request: httpx2.Request) -> httpx2.Response:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                return await self._inner.handle_async_request(request)
        except TimeoutError:
            raise httpx2.ReadTimeout("no answer in time", request=request) from None


class _WatchedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire
        self._values = JsonValues(_MAX_VALUES)

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                self._wire.count(self._values.add(chunk))
                yield chunk
        except Exception as error:
            self._wire.failed(error)
            raise

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


def _is_call(request: httpx2.Request) -> bool:
    message: dict[str, Any] = json.loads(request.content)
    return message.get("method") == "tools/call"
