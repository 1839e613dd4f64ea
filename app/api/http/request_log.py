"""Every request has an id, which its log lines and its answer carry."""

import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from app.api.http.prefix import own_path
from app.kit.concurrency.loop_lag import works_on
from app.kit.ids import new_id

HEADER = "X-Request-Id"

# What callers send goes into logs and back: short and plain, or it is replaced.
_PLAIN = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_QUIET_PREFIX = "/health/"

_log = structlog.get_logger(__name__)


class RequestLogMiddleware:
    """Takes `X-Request-Id` or makes one, and writes one log line for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _PLAIN.fullmatch(given) else new_id("req")
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        works_on(request_id=request_id, method=scope["method"], path=scope["path"])
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            write = _log.debug if own_path(scope).startswith(_QUIET_PREFIX) else _log.info
            write(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )
