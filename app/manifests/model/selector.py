"""Labels, and the selectors that choose by them: syntax and limits are those of Kubernetes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from app.errors import BadRequestError
from app.kit.invalid import InvalidValueError

MAX_SELECTOR = 2_000
# For each the server reads the metadata of each row, which may have 200 KB.
MAX_REQUIREMENTS = 20
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_PREFIX = 253
# What a requirement may look like; commas inside brackets separate values.
_BRACKETS = re.compile(r"(\([^()]*\))")
_IN = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)")
_EXISTS = re.compile(r"(!?)\s*([^=!\s()]+)")


def _label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name):
        raise InvalidValueError(
            "a label's name has 1 to 63 letters, digits, -, _ and ., with a letter or digit at"
            " each end"
        )
    if slash and (len(prefix) > _MAX_PREFIX or not _PREFIX.fullmatch(prefix)):
        raise InvalidValueError(
            "what stands before the / of a label's name is a domain in lower case"
        )
    return key


def _label_value(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise InvalidValueError(
            "a label's value is empty, or has at most 63 letters, digits, -, _ and ., with a"
            " letter or digit at each end"
        )
    return value


LabelKey: TypeAlias = Annotated[str, AfterValidator(_label_key)]
LabelValue: TypeAlias = Annotated[str, AfterValidator(_label_value)]


class Operator(StrEnum):
    """How a requirement compares; a label that is not there is NOT_IN anything."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a selector asks of one label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels are such."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.MISSING:
                return self.key not in labels


def parse_selector(text: str) -> list[Requirement]:
    """The requirements of a selector, all of which must be met.

    `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, with commas between.

    Raises:
        BadRequestError: says which part is wrong, or that there are too many.
    """
    parts = _parts(text)
    if len(parts) > MAX_REQUIREMENTS:
        raise _refuse(text, f"has {len(parts)} requirements; {MAX_REQUIREMENTS} are the most")
    return [_requirement(part.strip()) for part in parts]


def _parts(text: str) -> list[str]:
    """What stands between the commas that are in no brackets."""
    parts = [""]
    for number, piece in enumerate(_BRACKETS.split(text)):
        first, *more = [piece] if number % 2 else piece.split(",")  # each second is in brackets
        parts[-1] += first
        parts += more
    return parts


def _requirement(part: str) -> Requirement:
    refuse = partial(_refuse, part)
    if found := _IN.fullmatch(part):
        key, operator, values = found.groups()
        chosen = Requirement(key, Operator(operator), tuple(v.strip() for v in values.split(",")))
    elif found := _EQUAL.fullmatch(part):
        key, sign, value = found.groups()
        chosen = Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, (value,))
    elif found := _EXISTS.fullmatch(part):
        chosen = Requirement(found[2], Operator.MISSING if found[1] else Operator.EXISTS)
    else:
        raise refuse("is none of a=b, a!=b, a in (b,c), a notin (b,c), a, !a")
    try:
        _label_key(chosen.key)
        for value in chosen.values:
            _label_value(value)
    except InvalidValueError as error:
        raise refuse(str(error)) from None
    return chosen


def _refuse(part: str, msg: str) -> BadRequestError:
    return BadRequestError(
        f"selector: {part[:100]!r}: {msg}.",
        errors=[{"loc": ["query", "selector"], "msg": f"{part[:100]!r}: {msg}"}],
    )
