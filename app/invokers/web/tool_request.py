"""What a call of an http tool sends: where each argument goes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, quote

from app.invokers.invoker import InvokerError
from app.invokers.web.http_config import HttpMethod, check_header, check_path
from app.invokers.web.request_parts import query_texts
from app.kit.invalid import InvalidValueError


class ArgumentLocation(StrEnum):
    """The part of a request that an argument goes into."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


_MAX_HEADER = 4_000

# These send no body.
BODILESS = frozenset({HttpMethod.GET, HttpMethod.DELETE})


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One request; `body` is sent as JSON, None sends none."""

    method: HttpMethod
    path: str
    query: dict[str, Any]
    headers: dict[str, str]
    body: dict[str, Any] | None


def tool_request(config: Mapping[str, Any], arguments: Mapping[str, Any]) -> ToolRequest:
    """The request of a call.

    Args:
        config: `method`, `path` with `{argument}` for those that go there, and `arguments`: where
            others go by name. What is not named goes into the query of a GET or DELETE, and into
            the body of any other.
        arguments: as the model chose them.

    Raises:
        InvokerError: an argument cannot go where it is to go.
    """
    method = HttpMethod(config["method"])
    locations = config.get("arguments", {})
    rest = ArgumentLocation.QUERY if method in BODILESS else ArgumentLocation.BODY
    path: str = config["path"]
    found: dict[ArgumentLocation, dict[str, Any]] = {location: {} for location in ArgumentLocation}
    for name, value in arguments.items():
        location = (
            ArgumentLocation.PATH
            if f"{{{name}}}" in path
            else ArgumentLocation(locations.get(name, rest))
        )
        found[location][name] = value
    for name, value in found[ArgumentLocation.PATH].items():
        path = path.replace(f"{{{name}}}", quote(_text(name, value), safe=""))
    path, _, fixed = path.partition("?")
    if "{" in path:
        raise InvokerError(f"the path {path!r} needs an argument that is not there")
    headers = {name: _text(name, value) for name, value in found[ArgumentLocation.HEADER].items()}
    try:
        check_path(path)
        for name, value in headers.items():
            check_header(name, value)
    except InvalidValueError as error:
        raise InvokerError(f"the request cannot be sent: {error}") from None
    query: dict[str, Any] = dict(parse_qs(fixed, keep_blank_values=True))
    query |= {name: query_texts(value) for name, value in found[ArgumentLocation.QUERY].items()}
    body = (
        found[ArgumentLocation.BODY]
        if rest is ArgumentLocation.BODY or found[ArgumentLocation.BODY]
        else None
    )
    return ToolRequest(method, path, query, headers, body)


def about_headers(about: Mapping[str, Any]) -> dict[str, str]:
    """What a session is about, as JSON in a header each; servers take no long ones."""
    texts = {name: json.dumps(value) for name, value in about.items()}
    return {
        f"X-Statewright-{name.replace('_', '-').title()}": text
        for name, text in texts.items()
        if len(text) <= _MAX_HEADER
    }


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        if value in {"", ".", ".."}:
            raise InvokerError(f"argument {name!r} must not be {value!r}")
        return value
    if value is None or isinstance(value, dict | list):
        raise InvokerError(f"argument {name!r} must be a text, a number or a boolean")
    return json.dumps(value)
