"""What a request may carry: bounded, JSON that every part of the service can store and send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.prefix import own_path
from app.errors import (
    BadRequestError,
    PayloadTooLargeError,
    RequestTimeoutError,
    StoppingError,
    UnsupportedMediaTypeError,
)
from app.kit.storable import NotStorableError, load_json

# These take YAML, whatever the content type says, and check it themselves.
RAW_PREFIXES = ("/api/v1/cli/",)


class HeadersTooLargeError(PayloadTooLargeError):
    """The address and the headers are over the limit."""

    status = 431
    code = "headers-too-large"
    title = "Request header fields too large"


class BodyReads:
    """The bodies that are being received: each has a deadline, and none holds up the end.

    Args:
        seconds: in which a body must come.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: set[asyncio.Timeout] = set()
        self._stopping = False

    def end(self) -> None:
        """Ends all of them: the process stops."""
        self._stopping = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Bounds one.

        Raises:
            RequestTimeoutError: it did not come in time.
            StoppingError: the process stops.
        """
        deadline = asyncio.timeout(0 if self._stopping else self._seconds)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                yield
        except TimeoutError:
            if self._stopping:
                raise StoppingError("The server is stopping.", retry_after=1) from None
            raise RequestTimeoutError(
                f"The body did not come within {self._seconds:g} seconds."
            ) from None
        finally:
            self._deadlines.discard(deadline)


class BodyMiddleware:
    """Refuses what no endpoint could take, before any of them sees it."""

    def __init__(self, app: ASGIApp, max_bytes: int, reads: BodyReads, max_head_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self._max_head_bytes = max_head_bytes
        self._reads = reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _check_head(scope, self._max_head_bytes)
        _check_url(scope)
        async with self._reads.in_time():
            body = await self._read(scope, receive)
        if body is None:  # the client went away
            return
        if body and not own_path(scope).startswith(RAW_PREFIXES):
            check_json(body)
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            # What is compressed could unpack to any size.
            raise UnsupportedMediaTypeError("Send the body as it is, without Content-Encoding.")
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            self._refuse_size()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self.max_bytes:
                self._refuse_size()
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _refuse_size(self) -> NoReturn:
        raise PayloadTooLargeError(f"The body is larger than {self.max_bytes} bytes.")


def check_json(body: bytes) -> None:
    """Refuses a body that is not JSON, or that could not be stored and sent again as it is.

    Raises:
        BadRequestError: says which.
    """
    try:
        load_json(body)
    except NotStorableError as error:
        _refuse(f"The body cannot be taken: {error.reason}.")
    except ValueError as error:
        _refuse(f"The body is not valid JSON: {error}")


def _check_head(scope: Scope, max_bytes: int) -> None:
    size = len(scope["raw_path"] or b"") + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value) + len(": \r\n")
    if size > max_bytes:
        raise HeadersTooLargeError(
            f"The address and the headers are larger than {max_bytes} bytes."
        )


def _check_url(scope: Scope) -> None:
    if "\x00" in scope["path"]:
        _refuse("The path holds a NUL character (%00).", "path")
    if b"%00" in scope["query_string"]:
        _refuse("The query holds a NUL character (%00).", "query")


def _refuse(msg: str, place: str = "body") -> NoReturn:
    raise BadRequestError(msg, errors=[{"loc": [place], "msg": msg}])


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then what the server still has to say."""
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
