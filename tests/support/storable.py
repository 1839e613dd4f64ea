"""What PostgreSQL can keep and clients can read, in plain words: the judge is compared with it."""

from typing import Any


def storable(value: Any) -> bool:
    """The rule in plain words: finite, 64 bits, Unicode without NUL."""
    match value:
        case bool() | None:
            return True
        case int():
            return -(2**63) <= value < 2**64
        case float():
            return value - value == 0
        case str():
            return "\x00" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
        case dict():
            return all(storable(part) for pair in value.items() for part in pair)
        case _:
            return all(storable(part) for part in value)
