"""`/docs` and `/redoc`: the OpenAPI document for people.

All that the pages load is of this server, and no script stands in a page itself.
"""

from collections.abc import Mapping
from functools import partial
from html import escape
from importlib.resources import files
from typing import NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # both make styles as they draw
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Statewright API</title>
<link rel="icon" href="{root}/docs/favicon.png">
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head>
<body>
<div id="document" data-url='{root}/openapi.json'></div>
<script src="{root}/docs/{library}"></script>
<script src="{root}/docs/{start}"></script>
</body>
</html>
"""
# The search of Redoc would run in a worker made of a text, which the policy does not allow.
_STARTS = {
    "swagger-ui-start.js": """SwaggerUIBundle({
  url: document.getElementById("document").dataset.url,
  dom_id: "#document",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
});
""",
    "redoc-start.js": """const place = document.getElementById("document");
Redoc.init(place.dataset.url, {disableSearch: true, hideLogo: true}, place);
""",
}
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "redoc.standalone.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


class _Page(NamedTuple):
    library: str
    start: str


_PAGES: Mapping[str, _Page] = {
    "/docs": _Page("swagger-ui-bundle.js", "swagger-ui-start.js"),
    "/redoc": _Page("redoc.standalone.js", "redoc-start.js"),
}


def add_docs(app: FastAPI) -> None:
    """Adds the pages, and what they load."""
    for path, page in _PAGES.items():
        app.add_route(path, partial(_show, page), include_in_schema=False)
    app.add_route("/docs/{name}", _asset, include_in_schema=False)


async def _show(page: _Page, request: Request) -> Response:
    root = escape(request.scope.get("root_path", ""))
    return HTMLResponse(_HTML.format(root=root, **page._asdict()), headers=_HEADERS)


def _asset(request: Request) -> Response:
    """Reads a file of the pages, in a thread: it has a megabyte."""
    name = request.path_params["name"]
    headers = {**_HEADERS, "Cache-Control": "public, max-age=86400"}
    if (start := _STARTS.get(name)) is not None:
        return Response(start, headers=headers, media_type="text/javascript")
    if (media_type := _ASSETS.get(name)) is None:
        raise HTTPException(404)
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    return Response(content, headers=headers, media_type=media_type)
