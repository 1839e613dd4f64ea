"""The one judge of JSON that PostgreSQL can keep and clients can read.

Such a value has texts without NUL and lone surrogates, finite numbers, integers within 64 bits and
a bounded depth. What is sent and is not so is refused; text that was generated can be cleaned.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from app.kit.invalid import InvalidValueError

MAX_DEPTH = 100
MAX_VALUES = 100_000  # of what is read, where nothing else is said
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1  # what JSON encoders and most clients have

_MAX_DIGITS = 400  # of a number as it is written: no double needs more
_LOC_LENGTH = 8  # of a fault that lies deeper: enough to find it

# What orjson reads without a word: a NUL, and an integer over 64 bits, as a float. Found without
# regular expressions, which take fifty times as long.
_NUL = b"\\u0000"
_ONE_DIGIT = bytes.maketrans(b"0123456789", b"1" * 10)
_LONG_NUMBER = b"1" * 19
# What cleaning is for: a NUL, and a surrogate that may be a lone one.
_UNCLEAN = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")

_AS_LISTS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_QUOTES = 4  # of a value at most: its own, and those of its key

# What is no character of a text that can be stored.
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")

# The keys to a value, the last one first: made into a loc only where there is a fault.
_Keys: TypeAlias = "tuple[str | int, _Keys] | None"


class NotStorableError(InvalidValueError):
    """A value that could not be stored and sent again as it is; the text quotes nothing of it.

    Attributes:
        reason: what is wrong.
        loc: where, as keys and indexes from the outside in; at most the first eight.
    """

    def __init__(self, reason: str, loc: tuple[str | int, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.loc = loc


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a value may be.

    Attributes:
        depth: how many objects and lists may stand within each other.
        values: how many values there may be in all; None for any number.
        chars: how many characters all texts and keys may have together; None for any number.
        max_integer: the largest integer.
    """

    depth: int = MAX_DEPTH
    values: int | None = None
    chars: int | None = None
    max_integer: int = MAX_INTEGER

    def exceeded(self, depth: int, values: int, chars: int) -> str | None:
        """What is too much of a value of this size; None if nothing is."""
        if depth > self.depth:
            return f"it nests more than {self.depth} levels deep"
        if self.values is not None and values > self.values:
            return f"there are more than {self.values:,} values"
        if self.chars is not None and chars > self.chars:
            return f"all texts together have more than {self.chars:,} characters"
        return None


def check_json(value: object, limits: Limits = Limits()) -> None:
    """Refuses a value of Python types that is not storable JSON. Does not recurse into it.

    Raises:
        NotStorableError: the first fault that was found.
    """
    waiting: list[tuple[object, _Keys, int]] = [(value, None, 0)]
    seen = chars = 0
    while waiting:
        item, keys, depth = waiting.pop()
        parts = _parts(item)
        seen += 1
        depth += isinstance(item, dict | list)
        chars += _own_chars(item)
        size = seen + len(waiting) + (len(item) if isinstance(item, dict | list) else 0)
        fault = limits.exceeded(depth, size, chars) or _fault(item, limits.max_integer)
        if fault is not None:
            raise NotStorableError(fault, _loc(keys))
        waiting.extend((part, (key, keys), depth) for key, part in parts)


def load_json(text: str | bytes, *, clean: bool = False, most: int = MAX_VALUES) -> Any:
    """The value that a text is the JSON of.

    Many small values take far longer to be read, and more memory, than few long ones: they are
    counted before.

    Args:
        text: what was sent, or generated.
        clean: put replacement characters for NULs and lone surrogates instead of refusing them.
        most: how many values there may be in all.

    Raises:
        NotStorableError: it is JSON, but not storable, or has more values.
        ValueError: it is no JSON, or no UTF-8.
    """
    text = text if isinstance(text, str) else text.decode()
    check_values(text.encode(errors="surrogatepass"), most)
    if clean:
        text = clean_text(text)
        if _UNCLEAN.search(text):
            return _load_slowly(text, _clean)
    value = orjson.loads(text)
    raw = text.encode()
    if _NUL in raw or _LONG_NUMBER in raw.translate(_ONE_DIGIT):
        _load_slowly(text)
    elif raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deep(raw):
        raise NotStorableError(_TOO_DEEP)
    return value


def check_values(text: bytes, most: int) -> None:
    """Refuses JSON with more values before it is parsed; an empty object or list counts twice.

    Raises:
        NotStorableError: it has more.
    """
    if _separators(text) < most:  # those within texts are among them
        return
    too_many = text.count(b'"') - text.count(b'\\"') > _QUOTES * most
    if too_many or _separators(_without_texts(text)) >= most:
        raise NotStorableError(f"there are more than {most:,} values")


def value_count(text: str) -> int:
    """How many values there are in JSON, at the most; an empty object or list counts twice."""
    return _separators(_without_texts(text.encode(errors="surrogatepass"))) + 1


def parse_number(text: str) -> int | float:
    """The number that is written so in JSON.

    Raises:
        NotStorableError: it is not finite, or does not fit 64 bits.
    """
    if len(text) > _MAX_DIGITS:  # int() of a million digits would take long
        raise NotStorableError(_OUT_OF_RANGE)
    number = int(text) if text.lstrip("-").isdecimal() else float(text)
    if not is_number(number):
        raise NotStorableError(_OUT_OF_RANGE)
    return number


def is_number(number: float, max_integer: int = MAX_INTEGER) -> bool:
    """Whether a number is finite and, if it is an integer, within 64 bits."""
    if isinstance(number, int):
        return MIN_INTEGER <= number <= max_integer
    return math.isfinite(number)


def text_fault(text: str) -> str | None:
    """Why a text cannot be stored; None if it can."""
    if "\x00" in text:
        return "a text holds a NUL character"
    if not text.isascii() and _lone_surrogates(text):
        return "a text holds half a character (a lone surrogate)"
    return None


def clean_text(text: str, replacement: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """The text with a replacement for each NUL and lone surrogate.

    Two halves of a character that stand together, as when it was sent in two pieces, become it.
    """
    if text_fault(text) is None:
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NOT_TEXT.sub(replacement, joined)


_TOO_DEEP = f"it nests more than {MAX_DEPTH} levels deep"
_OUT_OF_RANGE = "a number is out of range: numbers are finite, and integers fit 64 bits"


def _separators(text: bytes) -> int:
    """One less than the values, if none of them is empty."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _without_texts(text: bytes) -> bytes:
    """JSON without the texts and keys in it."""
    return b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _is_deep(text: bytes) -> bool:
    """Whether JSON nests too deep: what stands innermost is taken away, level by level."""
    brackets = _without_texts(text).translate(_AS_LISTS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _parts(item: object) -> Iterable[tuple[str | int, object]]:
    if isinstance(item, dict):
        return item.items()
    return enumerate(item) if isinstance(item, list) else ()


def _own_chars(item: object) -> int:
    if isinstance(item, dict):
        return sum(len(key) for key in item if isinstance(key, str))
    return len(item) if isinstance(item, str) else 0


def _fault(item: object, max_integer: int) -> str | None:
    match item:
        case str():
            return text_fault(item)
        case dict():
            return next(filter(None, map(_key_fault, item)), None)
        case int() | float():
            return None if is_number(item, max_integer) else _OUT_OF_RANGE
        case None | list():
            return None
        case _:
            return f"a value of type {type(item).__name__} is not JSON"


def _key_fault(key: object) -> str | None:
    return text_fault(key) if isinstance(key, str) else "keys must be texts"


def _loc(keys: _Keys) -> tuple[str | int, ...]:
    loc: list[str | int] = []
    while keys is not None:
        key, keys = keys
        loc.append(key)
    return tuple(loc[: -_LOC_LENGTH - 1 : -1])


def _lone_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _load_slowly(text: str, change: Callable[[Any], Any] = lambda value: value) -> Any:
    """The value with its integers as they are written, changed and checked."""
    try:
        value = change(json.loads(text, parse_int=parse_number))
    except RecursionError:
        raise NotStorableError(_TOO_DEEP) from None
    check_json(value)
    return value


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {clean_text(key): _clean(item) for key, item in value.items()}
        case _:
            return value
