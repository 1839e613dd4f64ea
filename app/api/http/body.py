"""What a request may carry: bounded, JSON that every part of the service can store and send."""

import json
import re
from typing import Any, NoReturn

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BadRequestError, PayloadTooLargeError
from app.kit.json_text import MAX_DEPTH, children, fitting_integer, is_deep

# These take YAML, whatever the content type says, and check it themselves.
RAW_PREFIXES = ("/api/v1/cli/",)

# PostgreSQL's text has no NUL; JSON encoders and most clients have integers of 64 bits.
_ODD = re.compile(rb"\\u0000|\d{19}")


class BodyMiddleware:
    """Refuses what no endpoint could take, before any of them sees it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _check_url(scope)
        body = await self._read(scope, receive)
        if body is None:  # the client went away
            return
        if body and not scope["path"].startswith(RAW_PREFIXES):
            check_json(body)
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        declared = Headers(scope=scope).get("content-length", "")
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
    """Refuse a body that is not JSON, or that could not be stored and sent again as it is.

    Raises:
        BadRequestError: not UTF-8, not JSON, a NaN or infinity, half a surrogate pair, a NUL, an
            integer over 64 bits, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse(f"The body is not valid JSON: {error}")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and is_deep(value):
        _refuse(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if _ODD.search(body):  # rare: the slow looks are for these only
        _check_texts(value)
        json.loads(body, parse_int=_check_integer)


def _check_texts(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        waiting.extend(children(item))
        texts = item if isinstance(item, dict) else [item]
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            _refuse("The body holds a NUL character (\\u0000) in a text.")


def _check_integer(digits: str) -> int:
    try:
        return fitting_integer(digits)
    except ValueError:
        _refuse("The body holds an integer that does not fit 64 bits.")


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
