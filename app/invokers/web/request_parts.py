"""What a template writes of a request to an HTTP API beside its body."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class RequestParts:
    """Path, query and headers, with the session's data in them.

    Attributes:
        path: below the connection's base URL; it may have a query of its own.
        query: further parameters, by name.
        headers: by name; those of the connection win.
    """

    path: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


NO_PARTS = RequestParts()


def split_query(path: str) -> tuple[str, list[tuple[str, str]]]:
    """A path without its query, and the parameters that are in that."""
    path, _, own = path.partition("?")
    return path, parse_qsl(own, keep_blank_values=True)


def query_texts(value: Any) -> list[str]:
    """A parameter as it is sent: a list comes several times, null not at all, an object as JSON."""
    if isinstance(value, list):
        return [_text(item) for item in value]
    return [] if value is None else [_text(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
