"""The functions that expressions of manifests may call: pure, of JSON values, in bounded time."""

import ast
from collections.abc import Callable
from typing import Any

from app.kit.patterns import Pattern

_ARGUMENTS = {"length": 1, "lower": 1, "matches": 2}  # how many each function takes
_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


def called_function(node: ast.Call) -> Callable[[Any], Any]:
    """The function that a call names, of the first of its arguments; the others are literals.

    Raises:
        ValueError: there is no such function, or the arguments are not what it takes.
    """
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _ARGUMENTS:
        known = ", ".join(_ARGUMENTS)
        raise ValueError(f"nothing can be called in an expression but {known}")
    by_place = not node.keywords and not any(isinstance(arg, ast.Starred) for arg in node.args)
    if not by_place or len(node.args) != _ARGUMENTS[name]:
        raise ValueError(f"{name} takes {_ARGUMENTS[name]} value(s), by place")
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
        raise ValueError("the pattern of matches is a literal text")  # noqa: TRY004 - of a manifest
    try:
        compiled = Pattern(text)
    except ValueError as error:
        raise ValueError(f"the pattern of matches {error}") from None

    def matches(text: Any) -> bool:
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{word_for(text)} cannot be matched")
        return text is not None and compiled.is_in(text)

    return matches


def _length(value: Any) -> int:
    """How many characters, items or members there are; null has none."""
    if value is None:
        return 0
    if not isinstance(value, str | list | dict):
        raise TypeError(f"{word_for(value)} has no length")
    return len(value)


def _lower(value: Any) -> str | None:
    """A text in lower case; null stays null."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{word_for(value)} has no lower case")
    return None if value is None else value.lower()
