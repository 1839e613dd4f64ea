"""The one bound on what multiplies: counted while it is made, before its parts are put together.

A short template may name a long text many times, and a map may have an item in many steps. So what
may be so is counted part by part: a rendered text, the steps that a state starts, what they come to
together, a session's model, what is shown of one, and a diff.
"""

from typing import Any

from pydantic import BaseModel

from app.errors import ConflictError
from app.kit.storable import NotStorableError, check_values

# Twice what a client may send at once: an event is shown whole, also beside what was there before.
MAX_BYTES = 10_000_000

# What is done with so many parts in Python takes some milliseconds; texts are read much faster.
_LONG = 5_000
_CHARS = 16


class SizeLimitError(ConflictError):
    """A thing larger than the service makes, stores or shows; nothing was saved."""

    code = "size-limit"
    title = "Too large"


class SizeLimit:
    """How much of something there may be.

    Args:
        what: is counted, as the subject of a sentence.
        most: bytes that it may have in all.
    """

    def __init__(self, what: str, most: int = MAX_BYTES) -> None:
        self._what = what
        self._most = most
        self._size = 0

    def add(self, size: int) -> None:
        """Counts a part.

        Raises:
            SizeLimitError: with it there are too many bytes.
        """
        self._size += size
        if self._size > self._most:
            raise SizeLimitError(
                f"{self._what} would have more than {self._most:,} bytes.",
                extra={"max_bytes": self._most},
            )


def check_value_count(what: str, payload: bytes, most: int) -> None:
    """Refuses JSON with more values: many small ones take far longer to be read than few long ones.

    Raises:
        SizeLimitError: it has more.
    """
    try:
        check_values(payload, most)
    except NotStorableError:
        raise SizeLimitError(
            f"{what} would have more than {most:,} values.", extra={"max_values": most}
        ) from None


def size_of(text: str) -> int:
    """The bytes of a text as UTF-8; half a character, which a text may hold here, counts too."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def is_long(value: Any) -> bool:
    """Whether it takes more than some milliseconds to do something with each part of a value."""
    return exceeds(value, _LONG, chars=_CHARS)


def exceeds(value: Any, most: int, *, chars: int = 1) -> bool:
    """Whether a value has more than so many parts and characters; more are not looked at.

    Args:
        value: JSON, models and bytes within it.
        most: parts and characters.
        chars: how many characters of a text count as one.
    """
    waiting = [value]
    while waiting and most >= 0:
        item = waiting.pop()
        if isinstance(item, BaseModel):
            item = vars(item)
        elif isinstance(item, bytes | str):
            most -= len(item) // chars
        most -= 1 + (len(item) if isinstance(item, dict | list) else 0)
        if most >= 0 and isinstance(item, dict | list):
            waiting.extend(item.values() if isinstance(item, dict) else item)
    return most < 0
