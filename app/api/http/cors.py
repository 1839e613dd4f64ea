"""Which pages of other origins may call the API from a browser."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Of an answer's headers, those that pages may read beside the few that browsers always show.
_SHOWN = ("Allow", "Location", "Retry-After", "X-Request-Id")


def cors(origins: Sequence[str]) -> list[Middleware]:
    """The middleware that lets pages of these origins in; no origins: none.

    Keys come in a header, never in a cookie, so no credentials of the browser's are let in.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            expose_headers=_SHOWN,
            max_age=3600,
        )
    ]
