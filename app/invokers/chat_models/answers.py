"""What servers answer with status 200, read before an SDK makes of it what it can."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from typing_extensions import override

from app.invokers.chat_models.repairs import repaired_answer, repaired_event, usage_of
from app.invokers.invoker import FailureKind, InvokerError, TransientInvokerError, Usage
from app.kit.storable import clean_text

_END = re.compile(rb'"(?:finish_reason|stop_reason)"\s*:\s*"|"type"\s*:\s*"message_stop"')
_DATA = b"data:"
_HAS_ERROR = (b'"error"', b'"detail"')


class UpstreamError(Exception):
    """An error that was reported with status 200; `body` is what describes it."""

    def __init__(self, body: Any) -> None:
        super().__init__("an error with status 200")
        self.body = body


class NotStreamedError(Exception):
    """The server gave a whole answer where a stream was asked for; `usage` is what it took."""

    def __init__(self, usage: Usage) -> None:
        super().__init__("a whole answer")
        self.usage = usage


class ModelAnswers(httpx2.AsyncBaseTransport):
    """Finds errors and cut streams behind status 200, whatever the provider.

    Raises:
        UpstreamError: the body, or an event of the stream, is an error.
        NotStreamedError: a stream was asked for, and a whole answer came.
        InvokerError: what answers is no model.
        TransientInvokerError: the stream is empty, or ended without the word that it is complete.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.status_code != httpx2.codes.OK:
            return response
        if "html" in response.headers.get("content-type", ""):
            await response.aclose()
            raise InvokerError("the model's address leads to a web page; is the base URL right?")
        asked = _asks_for_stream(request)
        if asked and "json" not in response.headers.get("content-type", ""):
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an async one
            response.stream = _Events(response.stream)
            return response
        body = _check_characters(await response.aread())
        await response.aclose()
        if asked:
            raise NotStreamedError(usage_of(json.loads(body)))
        kept = {"content-type": response.headers.get("content-type", "application/json")}
        return httpx2.Response(response.status_code, headers=kept, content=body, request=request)

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class _Events(httpx2.AsyncByteStream):
    """A stream of events that ends with an error when it holds one, or is not complete."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner
        self._event = b""
        self._empty = True
        self._complete = False

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = bytearray()
        async for chunk in self._inner:
            rest += chunk
            if b"\n" in chunk:
                lines, _, left = bytes(rest).rpartition(b"\n")
                rest = bytearray(left)
                yield b"".join(self._line(line) for line in lines.split(b"\n"))
        if rest:
            yield self._line(bytes(rest))
        if self._empty:
            raise TransientInvokerError(
                "the model answered with an empty stream", kind=FailureKind.ANSWER
            )
        if not self._complete:
            raise TransientInvokerError("the model's answer broke off", kind=FailureKind.CONNECTION)

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()

    def _line(self, line: bytes) -> bytes:
        """The line, with whole characters only.

        Raises:
            UpstreamError: it is an error.
        """
        if line.startswith(b"event:"):
            self._event = line[len(b"event:") :].strip()
        elif line.startswith(_DATA):
            self._empty = False
            data = line[len(_DATA) :].strip()
            self._read(data)
            line = _DATA + b" " + repaired_event(data)
        elif not line.strip():
            self._event = b""
        return line.decode(errors="replace").encode() + b"\n"

    def _read(self, data: bytes) -> None:
        if data.startswith(b"[DONE]") or _END.search(data):
            self._complete = True
        if self._event == b"error" or any(mark in data for mark in _HAS_ERROR):
            value = _parse(data)
            if self._event == b"error" or _is_error(value):
                raise UpstreamError(value if value is not None else data.decode(errors="replace"))


def _check_characters(body: bytes) -> bytes:
    """A whole answer, with whole characters only.

    Raises:
        UpstreamError: it is an error.
        TransientInvokerError: it is no JSON object with an answer in it.
    """
    value = _parse(body)
    if _is_error(value):
        raise UpstreamError(value)
    if not isinstance(value, dict):
        raise _without_answer("the model did not answer: its answer cannot be read", {})
    if not ("choices" in value or "content" in value):
        raise _without_answer("the model did not answer: its answer cannot be read", value)
    if not value.get("choices", True):
        raise _without_answer("the model gave no answer: there is no choice in it", value)
    return clean_text(json.dumps(repaired_answer(value), ensure_ascii=False)).encode()


def _without_answer(text: str, value: dict[str, Any]) -> TransientInvokerError:
    """The error of an answer that is none; it may have been counted all the same."""
    return TransientInvokerError(text, kind=FailureKind.ANSWER, usage=usage_of(value))


def _is_error(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("choices"):
        return False
    return bool(value.get("error") or value.get("detail") or value.get("type") == "error")


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _asks_for_stream(request: httpx2.Request) -> bool:
    value = _parse(request.content)
    return isinstance(value, dict) and value.get("stream") is True
