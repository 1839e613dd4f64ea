"""Checks that a value is JSON of bounded size, before anything recurses into it."""

import math

from app.errors import FieldError

MAX_VALUES = 20_000
MAX_DEPTH = 128
MAX_CHARS = 200_000
_MAX_INT = 2**63

Path = tuple[str | int, ...]


def out_of_bounds(value: object, loc: Path) -> FieldError | None:
    """The first thing that is not JSON or too much; None if there is nothing."""
    waiting: list[tuple[object, Path]] = [(value, loc)]
    seen = chars = 0
    while waiting:
        item, where = waiting.pop()
        seen += 1
        chars += len(item) if isinstance(item, str) else 0
        ahead = len(item) if isinstance(item, dict | list) else 0
        too_much = _too_much(seen + len(waiting) + ahead, chars, len(where) - len(loc))
        reason = too_much or _not_json(item)
        if reason:
            return {"loc": list(where[: len(loc) + 8]), "msg": reason}
        if isinstance(item, dict):
            chars += sum(map(len, item))
            waiting.extend((member, (*where, key)) for key, member in item.items())
        elif isinstance(item, list):
            waiting.extend((member, (*where, index)) for index, member in enumerate(item))
    return None


def _too_much(values: int, chars: int, depth: int) -> str | None:
    if values > MAX_VALUES:
        return f"there are more than {MAX_VALUES} values"
    if chars > MAX_CHARS:
        return f"all texts together have more than {MAX_CHARS} characters"
    if depth > MAX_DEPTH:
        return f"it nests more than {MAX_DEPTH} levels deep"
    return None


def _not_json(item: object) -> str | None:
    if isinstance(item, dict):
        return None if all(_is_text(key) for key in item) else "keys must be texts"
    if isinstance(item, str):
        return None if _is_text(item) else "a text holds a NUL or half a character"
    if isinstance(item, int):
        return None if -_MAX_INT <= item < _MAX_INT else "a number is out of range"
    if isinstance(item, float):
        return None if math.isfinite(item) else "a number is out of range"
    return None if item is None or isinstance(item, list) else "is not JSON"


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or "\x00" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
