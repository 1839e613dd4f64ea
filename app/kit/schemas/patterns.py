"""Regular expressions of manifests: an engine whose time is linear in the text, within bounds."""

from typing import Any

import jsonschema_rs

from app.kit.invalid import InvalidValueError

MAX_PATTERN_CHARS = 500
MAX_TEXT_CHARS = 10_000  # that one pattern is looked for in: 0.2 s for the worst of them

# Bounds the automaton that a pattern becomes, and with it the time for each character.
PATTERN_OPTIONS = jsonschema_rs.RegexOptions(size_limit=100_000, dfa_size_limit=200_000)


class Pattern:
    """A regular expression as JSON Schema has them: found anywhere, unless it says `^` and `$`.

    Raises:
        InvalidValueError: it is none, is too large, or looks around or back, which takes time
            without bound; the text says so.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN_CHARS:
            raise InvalidValueError(f"is longer than {MAX_PATTERN_CHARS} characters")
        schema: dict[str, Any] = {"pattern": text}
        try:
            self._validator = jsonschema_rs.Draft202012Validator(
                schema, pattern_options=PATTERN_OPTIONS
            )
        except (jsonschema_rs.ValidationError, ValueError):
            reason = "is no regular expression, or one that is too large"
            raise InvalidValueError(f"{reason}; it cannot look around or refer back") from None

    def is_in(self, text: str) -> bool:
        """Whether it is found in a text.

        Raises:
            InvalidValueError: the text is longer than patterns are looked for in.
        """
        if len(text) > MAX_TEXT_CHARS:
            raise InvalidValueError(
                f"patterns are looked for in {MAX_TEXT_CHARS} characters at most"
            )
        return self._validator.is_valid(text)
