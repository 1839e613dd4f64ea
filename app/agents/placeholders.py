"""Placeholders: `{{name}}` in the strings of a JSON value, filled in by plain text substitution.

The grammar is the published client's: two braces, optional white space, a name, optional white
space, two braces. Anything else between braces is ordinary text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import Loc

NAME_PATTERN = "[a-zA-Z_][a-zA-Z0-9_.]*"
_PLACEHOLDER = re.compile(r"\{\{\s*(" + NAME_PATTERN + r")\s*\}\}")


def find_placeholders(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Finds placeholders in the strings of `value`, each with its place; keys are skipped."""
    if isinstance(value, str):
        for match in _PLACEHOLDER.finditer(value):
            yield loc, match[1]
    for key, child in _items(value):
        yield from find_placeholders(child, (*loc, key))


def placeholders_in_keys(value: Any, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Each placeholder in a dict key, where none may be, with the entry's place."""
    for key, child in _items(value):
        here = (*loc, key)
        if isinstance(key, str):
            yield from ((here, match[1]) for match in _PLACEHOLDER.finditer(key))
        yield from placeholders_in_keys(child, here)


def substitute(value: Any, values: Mapping[str, str]) -> Any:
    """A copy of `value` with placeholders replaced, in one pass over the original text.

    What comes in by a value is never looked at again, and a name that `values` lacks stays as it
    was written.
    """
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), value)
    if isinstance(value, list):
        return [substitute(child, values) for child in value]
    if isinstance(value, dict):
        return {key: substitute(child, values) for key, child in value.items()}
    return value


def inserted_size(value: Any, values: Mapping[str, str]) -> int:
    """How many characters `substitute` would put in; found without building them."""
    return sum(len(values.get(name, "")) for _, name in find_placeholders(value))


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
