"""Opaque page tokens: where the next page of a keyset-paged list starts."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import orjson

from app.kit.invalid import InvalidValueError
from app.kit.storable import text_fault

T = TypeVar("T")
_INT64_DIGITS = 19


class PageTokenError(InvalidValueError):
    """The token was not made by this service; the HTTP edge answers 400."""

    def __init__(self) -> None:
        super().__init__("The page token is not one that this service gave out.")


def encode_token(*parts: str) -> str:
    """An opaque, URL-safe token that holds the parts."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode_token(token: str) -> list[str]:
    """The parts of a token.

    Raises:
        PageTokenError: it is not a token, or holds what PostgreSQL would refuse as text.
    """
    try:
        raw = token.encode("ascii")
        parts = orjson.loads(base64.b64decode(raw + b"=" * (-len(raw) % 4), b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError) as error:
        raise PageTokenError from error
    if not isinstance(parts, list) or any(_fault(part) for part in parts):
        raise PageTokenError
    return parts


def decode_key(token: str) -> str:
    """The part of a token that has one.

    Raises:
        PageTokenError: it has others, or is none.
    """
    match decode_token(token):
        case [key]:
            return key
        case _:
            raise PageTokenError


def cut_page(
    rows: Sequence[T], limit: int, token_after: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """The rows of a page, of which one more was read, and the token of the page after it.

    Args:
        rows: what was found, in order.
        limit: most rows of the page.
        token_after: the token of the page after a row.
    """
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, token_after(page[-1])


def decode_number(text: str, *, bits: int) -> int:
    """A number in a token.

    Raises:
        PageTokenError: it is none of so many bits.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _INT64_DIGITS):
        raise PageTokenError
    number = int(text)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise PageTokenError
    return number


def encode_keyset(created: datetime, row_id: str) -> str:
    """The token of the page after the row with this creation time and id."""
    return encode_token(created.isoformat(), row_id)


def decode_keyset(token: str) -> tuple[datetime, str]:
    """The creation time (in UTC) and id of the row before the page.

    Raises:
        PageTokenError: the token is not one of `encode_keyset`.
    """
    try:
        created_text, row_id = decode_token(token)
        created = datetime.fromisoformat(created_text)
        if created.tzinfo is None:
            raise PageTokenError
        created = created.astimezone(UTC)  # overflows for the first hours of year 1 in the east
    except (ValueError, OverflowError) as error:
        raise PageTokenError from error
    return created, row_id


def _fault(part: object) -> str | None:
    return text_fault(part) if isinstance(part, str) else "no text"
