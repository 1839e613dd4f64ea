"""The path prefix below which a proxy serves the API."""

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What our own paths begin with: a prefix may be `/api`, too, and already be stripped.
_OWN = ("/v1/ai/", "/v1/skills", "/api/v1/cli/", "/health/", "/docs", "/redoc", "/openapi.json")


class PrefixMiddleware:
    """Takes requests with the prefix, and those of which a proxy has stripped it, alike.

    Redirects become paths: the host that a client names in a header is nobody to send others to.

    Args:
        prefix: such as `/agents`; "": the one that the server says, if any.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        prefix = self._prefix or scope.get("root_path", "")

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] // 100 == 3:  # noqa: PLR2004 - 3xx
                headers = MutableHeaders(scope=message)
                if (location := headers.get("location")) is not None:
                    headers["location"] = _without_host(location)
            await send(message)

        if prefix:
            path = scope["path"]
            has_it = path.startswith(prefix) and path[len(prefix) :].startswith(_OWN)
            path = path if has_it else prefix + path
            scope = {**scope, "root_path": prefix, "path": path}
        await self.app(scope, receive, send_relative)


def own_path(scope: Scope) -> str:
    """The path of a request without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _without_host(url: str) -> str:
    parts = urlsplit(url)
    # Two slashes at its start would make a host of the first part of the path.
    path = "/" + parts.path.lstrip("/")
    return parts._replace(scheme="", netloc="", path=path).geturl()
