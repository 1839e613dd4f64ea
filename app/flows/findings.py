"""What a check found in somebody's input: errors, which refuse it, and warnings, which do not."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from app.errors import FieldError, Loc

MAX_FINDINGS = 100


@dataclass(slots=True)
class Findings:
    """Each once, with its place, a path of keys and indexes; at most the first hundred of each."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[FieldError] = field(default_factory=list)

    def error(self, loc: Loc, message: str) -> None:
        """Something that must be put right."""
        _add(self.errors, loc, message)

    def warn(self, loc: Loc, message: str) -> None:
        """Something that is probably not meant."""
        _add(self.warnings, loc, message)

    def mapping(self, value: object, loc: Loc) -> dict[str, Any]:
        """A JSON object; anything else is an error, and read as an empty one."""
        if isinstance(value, dict):
            return value
        self.error(loc, "must be an object")
        return {}

    def members(self, value: object, loc: Loc, known: Collection[str]) -> dict[str, Any]:
        """The members of an object that have known names; each of the others is an error."""
        given = self.mapping(value, loc)
        for key in given:
            if key not in known:
                self.error((*loc, key), f"is not known here; known are {', '.join(known)}")
        return {key: item for key, item in given.items() if key in known}

    def items(self, value: object, loc: Loc) -> list[Any]:
        """A JSON list; anything else is an error, and read as an empty one."""
        if isinstance(value, list):
            return value
        self.error(loc, "must be a list")
        return []

    def flag(self, value: object, loc: Loc) -> bool:
        """A boolean, false where it is not given; anything else is an error."""
        if value is not None and not isinstance(value, bool):
            self.error(loc, "must be true or false")
        return value is True

    def number(
        self, value: object, loc: Loc, least: float, most: float, *, whole: bool = False
    ) -> float | None:
        """A number of a range, None where it is not given; anything else is an error."""
        if value is None:
            return None
        kinds = int if whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
            return value
        kind = "a whole number" if whole else "a number"
        self.error(loc, f"must be {kind} from {least:g} to {most:g}")
        return None


def _add(found: list[FieldError], loc: Loc, message: str) -> None:
    fault: FieldError = {"loc": list(loc), "msg": message}
    if len(found) < MAX_FINDINGS and fault not in found:
        found.append(fault)
