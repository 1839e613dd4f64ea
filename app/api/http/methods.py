"""What methods a path takes: HEAD wherever GET, and an `Allow` that names all of them."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HeadMiddleware:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app({**scope, "method": "GET"}, receive, send_head)


def allow(routes: Sequence[BaseRoute], scope: Scope) -> str:
    """The value of `Allow` for the path of a request, of which several routes may take methods."""
    taken = [method for method in _METHODS if _is_taken(routes, {**scope, "method": method})]
    return ", ".join(["HEAD", *taken] if "GET" in taken else taken)


def _is_taken(routes: Sequence[BaseRoute], scope: Scope) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in routes)
