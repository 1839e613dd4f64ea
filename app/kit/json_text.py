"""JSON that somebody sent or generated: taken only if it can be stored and sent again as it is."""

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

MAX_DEPTH = 100

# JSON encoders and most clients have integers of 64 bits.
_INTEGERS = range(-(2**63), 2**64)
_LONG = re.compile(r"\d{19}")


def loads(text: str) -> Any:
    """The value that a text is the JSON of.

    Raises:
        ValueError: it is no JSON, nested deeper than `MAX_DEPTH`, or holds an integer over 64 bits.
    """
    value = orjson.loads(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deep(value):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if _LONG.search(text):  # rare: the slow look is for these only
        json.loads(text, parse_int=fitting_integer)
    return value


def is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below = (child for item in level for child in children(item))
        level = [child for child in below if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def fitting_integer(digits: str) -> int:
    """The integer; raises `ValueError` if it does not fit 64 bits."""
    # The length first: int() of a million digits would take long.
    if len(digits) > 20 or int(digits) not in _INTEGERS:  # noqa: PLR2004 - digits of 2**64
        raise ValueError("an integer does not fit 64 bits")
    return int(digits)


def children(item: Any) -> Iterable[Any]:
    """What an object or a list holds."""
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()
