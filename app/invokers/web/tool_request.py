"""What a call of an http tool sends: where each argument goes."""

import json
import re
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
_BRACES = re.compile(r"\{([^{}]*)\}")

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


def names_in_path(path: str) -> list[str]:
    """The arguments that a path of a tool has places for."""
    return _BRACES.findall(path)


def location_of(
    name: str, method: HttpMethod, path: str, locations: Mapping[str, str]
) -> ArgumentLocation:
    """Where an argument goes: `locations` says so of some by name."""
    if name in names_in_path(path):
        return ArgumentLocation.PATH
    rest = ArgumentLocation.QUERY if method in BODILESS else ArgumentLocation.BODY
    return ArgumentLocation(locations.get(name, rest))


def fixed_query(path: str) -> dict[str, list[str]]:
    """The parameters that a path of a tool fixes: no argument replaces them."""
    return parse_qs(path.partition("?")[2], keep_blank_values=True)


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
    path: str = config["path"]
    found: dict[ArgumentLocation, dict[str, Any]] = {location: {} for location in ArgumentLocation}
    for name, value in arguments.items():
        found[location_of(name, method, path, locations)][name] = value
    fixed = fixed_query(path)
    if taken := next((name for name in found[ArgumentLocation.QUERY] if name in fixed), None):
        raise InvokerError(f"argument {taken!r} cannot be chosen: the tool fixes it")
    path = path.partition("?")[0]
    for name, value in found[ArgumentLocation.PATH].items():
        path = path.replace(f"{{{name}}}", quote(_text(name, value), safe=""))
    if "{" in path:
        raise InvokerError(f"the path {path!r} needs an argument that is not there")
    headers = {name: _text(name, value) for name, value in found[ArgumentLocation.HEADER].items()}
    try:
        check_path(path)
        for name, value in headers.items():
            check_header(name, value)
    except InvalidValueError as error:
        raise InvokerError(f"the request cannot be sent: {error}") from None
    asked = {name: query_texts(value) for name, value in found[ArgumentLocation.QUERY].items()}
    query: dict[str, Any] = {**fixed, **asked}
    body = (
        found[ArgumentLocation.BODY]
        if method not in BODILESS or found[ArgumentLocation.BODY]
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
