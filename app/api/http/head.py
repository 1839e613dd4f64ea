"""The head of a request as the application is given it: bounded, and without NUL characters."""

from typing import NoReturn

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import BadRequestError, PayloadTooLargeError


class HeadersTooLargeError(PayloadTooLargeError):
    """The address and the headers are over the limit."""

    status = 431
    code = "headers-too-large"
    title = "Request header fields too large"


class HeadLimitMiddleware:
    """Refuses a head that no endpoint could take, before anything else is done for it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            _check_size(scope, self._max_bytes)
            _check_url(scope)
        await self.app(scope, receive, send)


def _check_size(scope: Scope, max_bytes: int) -> None:
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


def _refuse(msg: str, place: str) -> NoReturn:
    raise BadRequestError(msg, errors=[{"loc": [place], "msg": msg}])
