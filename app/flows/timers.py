"""Timers: events that the service itself sends to a session, some time after a state was entered.

A timer belongs to one entry into its state, and is cancelled when the state is left.
"""

import math
import re
from dataclasses import dataclass

from app.kit.invalid import InvalidValueError

MIN_SECONDS = 1.0  # timers that lead to each other must not keep a worker busy
MAX_SECONDS = 366 * 24 * 3600.0
MAX_PER_STATE = 10
MAX_PER_FLOW = 100
MAX_PENDING = 50  # that run in a session at once

RANGE = "from 1 second to 366 days"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 24 * 3600.0, "w": 7 * 24 * 3600.0}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d|w)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,6}}", re.ASCII)
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Timer:
    """An event to be sent after so many seconds.

    Attributes:
        input: what comes with the event.
        send_id: what the flow's code cancels it by.
    """

    event: str
    seconds: float
    input: str = ""
    send_id: str | None = None


@dataclass(frozen=True, slots=True)
class StartedTimer:
    """A timer with the state whose entry it belongs to."""

    state: str
    timer: Timer


def read_duration(value: object) -> float:
    """The seconds of a duration as people write it, such as `24h`, `1h30m`, or a number of seconds.

    Raises:
        InvalidValueError: it is none, or out of range; the text says so.
    """
    seconds = math.nan
    if isinstance(value, str) and _DURATION.fullmatch(value):
        seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(value))
    elif isinstance(value, str) and _SECONDS.fullmatch(value):
        seconds = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    if math.isnan(seconds):
        raise InvalidValueError("must be a duration, such as 24h, 1h30m, or a number of seconds")
    return checked_seconds(seconds)


def checked_seconds(seconds: float) -> float:
    """The same, where a timer may take so long.

    Raises:
        InvalidValueError: it is out of range.
    """
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise InvalidValueError(f"must be {RANGE}")
    return float(seconds)


def duration_text(seconds: float) -> str:
    """A duration as people write it: the largest units first."""
    milliseconds, parts = round(seconds * 1000), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, round(_UNITS[unit] * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
