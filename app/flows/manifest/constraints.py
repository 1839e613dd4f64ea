"""What a schema of a manifest's model demands of a value beside its type: bounds, pattern, format.

A check takes time in proportion to the text, and all of those that come at once take no longer than
`CPU_SECONDS` and one check: seed data may hold a hundred thousand texts.
"""

import math
import operator
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jsonschema_rs

from app.errors import FieldError
from app.kit.invalid import InvalidValueError
from app.kit.schemas.patterns import MAX_TEXT_CHARS, Pattern

CPU_SECONDS = 0.3

_MOMENTS = ("date", "date-time", "time", "duration")
FORMATS = (*_MOMENTS, "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
_COMPARISONS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (operator.ge, "at least"),
    "maximum": (operator.le, "at most"),
    "exclusiveMinimum": (operator.gt, "more than"),
    "exclusiveMaximum": (operator.lt, "less than"),
}
_SIZE_WORDS = ("minLength", "maxLength", "minItems", "maxItems")
_TEXT_WORDS = ("minLength", "maxLength", "pattern", "format")

# The keywords, and of which types a schema must be, one of them at least, to have them.
TYPES_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_COMPARISONS, ("integer", "number")),
    **dict.fromkeys(_TEXT_WORDS, ("string",)),
    **dict.fromkeys(("minItems", "maxItems"), ("array",)),
}
_MAX_SIZE = 2**31 - 1
_PAIRS = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))

Check = Callable[[Any], bool]

# Until when the checks of one call may run; None: nothing is checked.
_end: ContextVar[float | None] = ContextVar("_end", default=math.inf)


@contextmanager
def bounded_checks() -> Iterator[None]:
    """Bounds the checks of a block: they fail once they have taken too long together."""
    token = _end.set(time.thread_time() + CPU_SECONDS)
    try:
        yield
    finally:
        _end.reset(token)


@contextmanager
def no_checks() -> Iterator[None]:
    """Leaves checks out in a block: what is stored was checked when it came."""
    token = _end.set(None)
    try:
        yield
    finally:
        _end.reset(token)


def constraint(
    schema: dict[str, Any], loc: list[str | int], faults: list[FieldError]
) -> Callable[[Any], Any] | None:
    """A validator of what a schema demands beside the type; None where that is nothing.

    Args:
        schema: its keywords fit its types.
        loc: of the schema.
        faults: where what is wrong with a keyword goes.
    """
    checks: list[tuple[Check, str]] = []
    for word in (word for word in schema if word in TYPES_OF):
        try:
            checks.append(_check(word, schema[word]))
        except InvalidValueError as error:
            faults.append({"loc": [*loc, word], "msg": str(error)})
    if not faults:
        faults += [
            {"loc": [*loc, least], "msg": f"is more than {most}: nothing fits"}
            for least, most in _PAIRS
            if schema.get(least, -math.inf) > schema.get(most, math.inf)
        ]
    return _validator(checks) if checks else None


def _validator(checks: list[tuple[Check, str]]) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        end = _end.get()
        if end is None:
            return value
        for check, reason in checks:
            if time.thread_time() > end:
                raise InvalidValueError("there is too much to check")
            if not check(value):
                raise InvalidValueError(reason)
        return value

    return validate


def _check(word: str, bound: Any) -> tuple[Check, str]:
    """The check of one keyword, and what is said of a value that does not pass it.

    Raises:
        InvalidValueError: the keyword has no value that makes sense.
    """
    if word in _COMPARISONS:
        return _number_check(word, bound)
    if word in _SIZE_WORDS:
        return _size_check(word, bound)
    if not isinstance(bound, str):
        raise InvalidValueError("must be a text")
    if word == "pattern":
        pattern = Pattern(bound)
        return _of_text(pattern.is_in), f"must match the pattern {bound!r}"
    if bound not in FORMATS:
        raise InvalidValueError(f"is not known; known formats are {', '.join(FORMATS)}")
    validator = jsonschema_rs.Draft202012Validator({"format": bound}, validate_formats=True)
    return _of_text(validator.is_valid), f"must have the format {bound}"


def _number_check(word: str, bound: Any) -> tuple[Check, str]:
    if not _is_number(bound) or not math.isfinite(bound):
        raise InvalidValueError("must be a number")
    compare, words = _COMPARISONS[word]

    def check(value: Any) -> bool:
        return not _is_number(value) or compare(value, bound)

    return check, f"must be {words} {bound}"


def _size_check(word: str, bound: Any) -> tuple[Check, str]:
    if not isinstance(bound, int) or isinstance(bound, bool) or not 0 <= bound <= _MAX_SIZE:
        raise InvalidValueError(f"must be a whole number from 0 to {_MAX_SIZE}")
    kind, things = (str, "characters") if word in _TEXT_WORDS else (list, "items")
    least = word.startswith("min")

    def check(value: Any) -> bool:
        if not isinstance(value, kind):
            return True
        return len(value) >= bound if least else len(value) <= bound

    return check, f"must have {'at least' if least else 'at most'} {bound} {things}"


def _of_text(fits: Callable[[str], bool]) -> Check:
    def check(value: Any) -> bool:
        return not isinstance(value, str) or (len(value) <= MAX_TEXT_CHARS and fits(value))

    return check


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
