"""The parts of an HTTP request that a template writes, rendered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from app.flows.rendering.url_template import render_url
from app.invokers.config import read_config
from app.invokers.web.http_config import RequestConfig, check_header, check_path
from app.invokers.web.request_parts import RequestParts

Render = Callable[[str], Awaitable[str]]


async def request_parts(
    config: Mapping[str, Any], render: Render
) -> tuple[RequestParts, dict[str, Any]]:
    """The rendered parts of a template's config, and the rest of it: the same for each request.

    Raises:
        TemplateError: one of them cannot be rendered.
        ValueError: one is wrong, or cannot be sent with the data in it.
    """
    written = {field: config[field] for field in RequestConfig.model_fields if field in config}
    own = read_config(RequestConfig, written)
    rest = {field: value for field, value in config.items() if field not in written}
    path = check_path(await render_url(own.path, render))
    query = {name: await _value(value, render) for name, value in own.query.items()}
    headers = {name: await render(text) for name, text in own.headers.items()}
    if "connection" in rest:  # which says how to sign in
        headers = {n: value for n, value in headers.items() if n.lower() != "authorization"}
    for name, value in headers.items():
        check_header(name, value)
    return RequestParts(path, query, headers), rest


async def _value(value: Any, render: Render) -> Any:
    return await render(value) if isinstance(value, str) else value
