"""What a request may carry: bounded, JSON that every part of the service can store and send."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from json import JSONDecodeError
from typing import Any, NoReturn

from starlette.requests import Request
from typing_extensions import override

from app.errors import (
    BadRequestError,
    PayloadTooLargeError,
    RequestTimeoutError,
    StoppingError,
    UnsupportedMediaTypeError,
)
from app.kit.concurrency.off_loop import LIGHT_BYTES
from app.kit.storable import NotStorableError, check_values, load_json

DEFAULT_BYTES = 65_536  # of a body, where a route says nothing else
_BYTES_MEMBER = "x-max-body-bytes"

_LIGHT_VALUES = 500  # what has more is read, and made into what is asked, beside the event loop


def max_body(size: int, **members: Any) -> dict[str, Any]:
    """The `openapi_extra=` of a route that takes bodies of so many bytes."""
    return {_BYTES_MEMBER: size, **members}


LARGE_BODY = max_body(5_000_000)  # where texts of people or models are in it


def max_bytes_of(openapi_extra: dict[str, Any] | None) -> int:
    """How many bytes a route takes."""
    size: int = (openapi_extra or {}).get(_BYTES_MEMBER, DEFAULT_BYTES)
    return size


class JsonRequest(Request):
    """A request whose body is there, read and made into what its endpoint takes.

    Args:
        request: the request.
        content: its body.
        value: what the framework gets as the JSON of the body.
    """

    def __init__(self, request: Request, content: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._content = content
        self._value = value

    @override
    async def body(self) -> bytes:
        return self._content

    @override
    async def json(self) -> Any:
        return self._value


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

    async def read(self, request: Request, max_bytes: int, took: Callable[[int], None]) -> bytes:
        """The body of a request.

        Args:
            request: of which nothing was read yet.
            max_bytes: that it may have.
            took: called with the size of each piece; what it raises ends the reading.

        Raises:
            UnsupportedMediaTypeError: it is compressed.
            PayloadTooLargeError: it is larger; one that says so was not read at all.
            RequestTimeoutError: it did not come in time.
            StoppingError: the process stops.
        """
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            # What is compressed could unpack to any size.
            raise UnsupportedMediaTypeError("Send the body as it is, without Content-Encoding.")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            _refuse_size(max_bytes)
        async with self._in_time():
            return await _received(request, max_bytes, took)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
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


def is_light(content: bytes) -> bool:
    """Whether JSON is read in no time."""
    return len(content) <= LIGHT_BYTES and content.count(b",") <= _LIGHT_VALUES


def parse_body(content: bytes, max_values: int) -> Any:
    """The value of a body; it could be stored and sent again as it is.

    Raises:
        BadRequestError: it is not JSON, or not such; says which.
    """
    try:
        check_values(content, max_values)
        return load_json(content)
    except NotStorableError as error:
        _refuse(f"The body cannot be taken: {error.reason}.")
    except JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        _refuse(f"The body is not valid JSON: {error.msg}: {place}")
    except ValueError:
        _refuse("The body is not valid JSON: it is not UTF-8")


async def _received(request: Request, max_bytes: int, took: Callable[[int], None]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("The client went away before its body had come.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            _refuse_size(max_bytes)
        if chunk:
            took(len(chunk))
            chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _refuse_size(max_bytes: int) -> NoReturn:
    raise PayloadTooLargeError(
        f"The body is larger than {max_bytes} bytes, the most that this endpoint takes."
    )


def _refuse(msg: str) -> NoReturn:
    raise BadRequestError(msg, errors=[{"loc": ["body"], "msg": msg}])
