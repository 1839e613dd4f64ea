"""The functions that expressions of manifests may call: pure, of JSON values, in bounded time."""

import ast
import operator
from collections.abc import Callable
from typing import Any

from app.errors import public_text
from app.kit.invalid import InvalidValueError
from app.kit.schemas.patterns import Pattern

_ARGUMENTS = {"length": 1, "lower": 1, "matches": 2}  # how many each function takes
_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


def called_function(node: ast.Call) -> Callable[[Any], Any]:
    """The function that a call names, of the first of its arguments; the others are literals.

    Raises:
        InvalidValueError: there is no such function, or the arguments are not what it takes.
    """
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _ARGUMENTS:
        known = ", ".join(_ARGUMENTS)
        raise InvalidValueError(f"nothing can be called in an expression but {known}")
    by_place = not node.keywords and not any(isinstance(arg, ast.Starred) for arg in node.args)
    if not by_place or len(node.args) != _ARGUMENTS[name]:
        raise InvalidValueError(f"{name} takes {_ARGUMENTS[name]} value(s), by place")
    if name == "matches":
        return _matches(node.args[1])
    return _length if name == "length" else _lower


def word_for(value: Any) -> str:
    """The kind of a JSON value, for people; never the value."""
    return _WORDS.get(type(value), "a number")


def _matches(pattern: ast.expr) -> Callable[[Any], bool]:
    """Whether a text has a pattern in it; null has none."""
    text = pattern.value if isinstance(pattern, ast.Constant) else None
    if not isinstance(text, str):
        raise InvalidValueError("the pattern of matches is a literal text")
    try:
        compiled = Pattern(text)
    except InvalidValueError as error:
        raise InvalidValueError(f"the pattern of matches {error}") from None

    def matches(text: Any) -> bool:
        if text is not None and not isinstance(text, str):
            raise InvalidValueError(f"{word_for(text)} cannot be matched")
        return text is not None and compiled.is_in(text)

    return matches


def _length(value: Any) -> int:
    """How many characters, items or members there are; null has none."""
    if value is None:
        return 0
    if not isinstance(value, str | list | dict):
        raise InvalidValueError(f"{word_for(value)} has no length")
    return len(value)


def _lower(value: Any) -> str | None:
    """A text in lower case; null stays null."""
    if value is not None and not isinstance(value, str):
        raise InvalidValueError(f"{word_for(value)} has no lower case")
    return None if value is None else value.lower()


def failure_reason(error: Exception) -> str:
    """Why an expression failed, in words of our own."""
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    is_ours = isinstance(error, InvalidValueError)
    return public_text(error) if is_ours else "a value is too large, or not allowed there"


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def evaluate(a: Any, b: Any) -> bool:
        if a is None or b is None:
            return False
        try:
            return compare(a, b)
        except TypeError:
            raise InvalidValueError(
                f"{word_for(a)} cannot be compared with {word_for(b)}"
            ) from None

    return evaluate


def _contains(item: Any, holder: Any) -> bool:
    if holder is None:
        return False
    if isinstance(holder, str) and isinstance(item, str):
        return item in holder
    if isinstance(holder, list):
        return item in holder
    if isinstance(holder, dict):
        return isinstance(item, str) and item in holder
    raise InvalidValueError(f"{word_for(item)} cannot be looked for in {word_for(holder)}")


COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _contains,
    ast.NotIn: lambda item, holder: not _contains(item, holder),
}
