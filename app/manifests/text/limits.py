"""What the text of a manifest may be, and how a refusal says where it is wrong."""

import math
from typing import Any, NoReturn

from app.errors import BadRequestError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_NODES = 40_000  # values of one text: read in half a second
MAX_DOCUMENTS = 200
_INTEGERS = range(-(2**63), 2**64)
_MAX_DIGITS = 400  # of a number as it is written: no double needs more


def refuse(msg: str, *, line: int | None = None, column: int | None = None) -> NoReturn:
    """Raise the error of a text that cannot be read, with its place where it is known."""
    place = f", line {line}, column {column}" if line is not None else ""
    where: list[str | int] = ["body"] if line is None else ["body", line, column or 1]
    raise BadRequestError(
        f"The manifest cannot be read{place}: {msg}.", errors=[{"loc": where, "msg": msg}]
    )


def number_of(text: str) -> int | float | None:
    """The number that a JSON number is; None if it does not fit 64 bits."""
    if len(text) > _MAX_DIGITS:
        return None
    if text.lstrip("-").isdecimal():
        whole = int(text)
        return whole if whole in _INTEGERS else None
    number = float(text)
    return number if math.isfinite(number) else None


def check_value(value: Any) -> None:
    """Refuse what could not be stored or sent again: NUL, half a surrogate pair, odd types, depth.

    Raises:
        BadRequestError: names what it is.
    """
    level, depth, nodes = [value], 0, 0
    while level:
        depth += 1
        nodes += len(level)
        if depth > MAX_DEPTH + 1:
            refuse(f"nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            refuse(f"more than {MAX_NODES} values")
        level = [child for item in level for child in _checked(item)]


def _checked(item: Any) -> list[Any]:
    """The children of an item that is fine itself."""
    match item:
        case dict():
            for key in item:
                _check_text(key)
            return list(item.values())
        case list():
            return item
        case str():
            _check_text(item)
        case float() if not math.isfinite(item):
            refuse("infinity and NaN are no numbers here")
        case int() if item not in _INTEGERS:
            refuse("a number that does not fit 64 bits; write it in quotes as text")
        case None | bool() | int() | float():
            pass
        case _:
            refuse(f"a value of type {type(item).__name__}")
    return []


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        refuse("a key must be text")
    if "\x00" in text:
        refuse("a text holds a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in text):
        refuse("a text holds half of a surrogate pair")
