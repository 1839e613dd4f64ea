"""What a check found in somebody's input: errors, which refuse it, and warnings, which do not."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from app.errors import FieldError, Loc

MAX_FINDINGS = 100


@dataclass(slots=True)
class Findings:
    """Faults, each once, with its place, a path of keys and indexes; at most a hundred a kind.

    In place of the hundredth stands how many more there are, if there are.
    """

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[FieldError] = field(default_factory=list)
    _more_errors: int = field(default=0, init=False)
    _more_warnings: int = field(default=0, init=False)

    def error(self, loc: Loc, message: str) -> None:
        """Adds a fault that must be put right."""
        self._more_errors += _is_left_out(self.errors, loc, message)
        _count(self.errors, self._more_errors)

    def warn(self, loc: Loc, message: str) -> None:
        """Adds a warning: it is probably not meant."""
        self._more_warnings += _is_left_out(self.warnings, loc, message)
        _count(self.warnings, self._more_warnings)

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


def _is_left_out(found: list[FieldError], loc: Loc, message: str) -> bool:
    """Adds a fault that is not there yet; whether there are too many for it."""
    fault: FieldError = {"loc": list(loc), "msg": message}
    if fault in found:
        return False
    if len(found) < MAX_FINDINGS:
        found.append(fault)
        return False
    return True


def _count(found: list[FieldError], more: int) -> None:
    if more:
        found[-1] = {"loc": [], "msg": f"{more + 1} more are not shown"}
