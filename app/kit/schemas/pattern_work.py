"""How much work the patterns of a JSON Schema make: each is linear in the text, and may be slow.

An engine follows all ways through a pattern at once, so that one of 2,000 states takes a fifth of a
millisecond for each character. The work of a check is counted while it is done, text by text.
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import jsonschema_rs

from app.kit.invalid import InvalidValueError
from app.kit.schemas.schema_cost import TooMuchWorkError

# Bytes of what a pattern becomes, and what one character costs then, in units of 1.5 µs.
_SIZES = {10_000: 1, 100_000: 10, 1_000_000: 120}
_MOST_WORK = 150_000  # of one check
_MOST_PATTERNS = 1_000  # of one schema, as such units
_DFA_BYTES = 200_000
# Of `patternProperties`, which are looked for in all keys.
KEY_PATTERNS = jsonschema_rs.RegexOptions(size_limit=100_000, dfa_size_limit=_DFA_BYTES)
_KEY_COST = 10


class PatternWork:
    """The patterns of one schema, and the work of looking for them in the texts of one value.

    Attributes:
        exceeded: whether it was too much, so that not all were looked for.
    """

    def __init__(self) -> None:
        self.exceeded = False
        self._left = _MOST_WORK
        self._found: dict[str, tuple[jsonschema_rs.Draft202012Validator, int]] = {}
        self._patterns: set[str] = set()

    def keyword(self) -> "type[_Keyword]":
        """What a validator of the schema makes of each keyword `pattern`."""
        return type("Pattern", (_Keyword,), {"work": self})

    def add(self, pattern: str) -> None:
        """Notes a pattern of the schema."""
        self._patterns.add(pattern)

    def check_patterns(self) -> None:
        """Refuses patterns that are none, or too many.

        Raises:
            InvalidValueError: the text says what is wrong.
        """
        if sum(self._compiled(pattern)[1] for pattern in self._patterns) > _MOST_PATTERNS:
            raise InvalidValueError("its patterns are too many, or too large")

    def is_in(self, pattern: str, text: str) -> bool:
        """Whether a pattern is found in a text; not looked for where that is too much work."""
        engine, cost = self._compiled(pattern)
        self._left -= cost * len(text)
        if self._left < 0:
            self.exceeded = True
            return True
        return engine.is_valid(text)

    def _compiled(self, pattern: str) -> tuple[jsonschema_rs.Draft202012Validator, int]:
        if pattern not in self._found:
            self._found[pattern] = _compile(pattern)
        return self._found[pattern]


class _Keyword:
    """What the validator asks about the texts that one `pattern` is looked for in."""

    work: ClassVar[PatternWork]

    def __init__(self, parent_schema: object, value: str, schema_path: object) -> None:
        del parent_schema, schema_path  # the validator names them
        self._pattern = value
        self.work.add(value)

    def validate(self, instance: object) -> None:
        """Raises `ValueError` where a text does not have it."""
        if isinstance(instance, str) and not self.work.is_in(self._pattern, instance):
            shown = json.dumps(instance, ensure_ascii=False)
            raise ValueError(f'{shown} does not match "{self._pattern}"')


def check_keys(schema: dict[str, Any], value: object) -> None:
    """Refuses to look for patterns of keys in too many, or too long ones.

    Raises:
        TooMuchWorkError: that would take too long.
    """
    patterns = sum(
        len(part["patternProperties"])
        for part in _objects(schema)
        if isinstance(part.get("patternProperties"), dict)
    )
    if patterns and patterns * _KEY_COST * _key_chars(value) > _MOST_WORK:
        raise TooMuchWorkError


def chars_of(value: object) -> int:
    """How many characters all texts and keys of a value have."""
    return _key_chars(value) + sum(len(one) for one in _all(value) if isinstance(one, str))


def _key_chars(value: object) -> int:
    return sum(len(key) for part in _objects(value) for key in part)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (one for one in _all(value) if isinstance(one, dict))


def _all(value: object) -> Iterator[object]:
    """A value, and all that is within it."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict | list):
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _compile(pattern: str) -> tuple[jsonschema_rs.Draft202012Validator, int]:
    """What looks for a pattern, and what a character costs it.

    Raises:
        InvalidValueError: it is none, or too large.
    """
    for size, cost in _SIZES.items():
        options = jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=_DFA_BYTES)
        try:
            engine = jsonschema_rs.Draft202012Validator(
                {"pattern": pattern}, pattern_options=options
            )
        except (jsonschema_rs.ValidationError, ValueError):
            continue
        return engine, cost
    raise InvalidValueError(
        "it is no JSON Schema: a pattern is no regular expression, or one that is too large; it "
        "cannot look around or refer back"
    )
