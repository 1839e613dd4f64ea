"""A moment as clients write it: ISO 8601 with an offset, or a date, which is its first moment."""

import re
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from app.kit.invalid import InvalidValueError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NOT_ONE = "must be a time such as 2030-01-31T12:00:00Z, or a date"


def _refuse_numbers(value: object) -> object:
    """Refuses numbers, of which pydantic makes seconds since 1970, also where they are text."""
    if not isinstance(value, str):
        if isinstance(value, datetime):
            return value
        raise InvalidValueError(_NOT_ONE)
    if _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    if value[4:5] != "-":
        raise InvalidValueError(_NOT_ONE)
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidValueError("must be between the years 1 and 9999 in UTC") from None


Moment: TypeAlias = Annotated[
    AwareDatetime, BeforeValidator(_refuse_numbers), AfterValidator(_in_utc)
]
