"""How far a reader of a thread has read, as the continuation token that it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Self

from app.errors import BadRequestError
from app.kit.paging import PageTokenError, decode_token, encode_token

_MOST_PARTS = 5  # of a token; without `asks_digest` there is one less


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has read.

    Attributes:
        version: of the session, as the reader knows it.
        next: index of the first message that the reader has not read to its end.
        chars: how much of that message's text the reader has.
        digest: of the text that the reader has; "" if it was not shown that message at all.
        asks_digest: of what steps ask, and sessions below, as the reader knows it: it changes
            without a new version.
    """

    version: int = 0
    next: int = 0
    chars: int = 0
    digest: str = ""
    asks_digest: str = ""

    @classmethod
    def parse(cls, token: str | None) -> Self:
        """Reads a continuation token; none starts at the beginning.

        Raises:
            BadRequestError: the token is none of ours.
        """
        if not token:
            return cls()
        try:
            parts = decode_token(token)
            asks_digest = parts.pop() if len(parts) == _MOST_PARTS and parts[-1] else ""
            *numbers, digest = parts
            version, next_, chars = (int(part) for part in numbers)
        except (PageTokenError, ValueError) as error:
            raise _bad_token("The continuation token is not one that this service gave out.") from (
                error
            )
        if max(version, next_, chars) >= 2**31 or min(version, next_, chars) < 0:
            raise _bad_token("The continuation token is out of range.")
        return cls(version, next_, chars, digest, asks_digest)

    def token(self) -> str:
        """The opaque form of it."""
        asks = [self.asks_digest] if self.asks_digest else []
        numbers = (str(self.version), str(self.next), str(self.chars))
        return encode_token(*numbers, self.digest, *asks)

    def showing(self, text: str) -> Self:
        """This cursor once the reader has so much of the message at `next`."""
        return replace(self, chars=len(text), digest=_digest(text))

    def knowing(self, version: int, action_ids: Sequence[str]) -> Self:
        """This cursor once the reader knows the version, and the ids of what steps ask."""
        asks_digest = _digest("\n".join(action_ids)) if action_ids else ""
        return replace(self, version=version, asks_digest=asks_digest)

    def at(self, next_: int) -> Self:
        """This cursor at the start of a message that the reader was not shown yet."""
        return replace(self, next=next_, chars=0, digest="")

    @property
    def began(self) -> bool:
        """Whether the reader was shown the message at `next`."""
        return bool(self.digest)

    def fits(self, text: str) -> bool:
        """Whether what the reader has of the message is how this text begins.

        It need not be: a retried attempt may say something else, a failed one ends with an error.
        """
        return len(text) >= self.chars and _digest(text[: self.chars]) == self.digest


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _bad_token(detail: str) -> BadRequestError:
    return BadRequestError(detail, errors=[{"loc": ["query", "next_token"], "msg": detail}])
