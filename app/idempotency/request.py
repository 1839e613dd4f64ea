"""What a request is known by when it comes again."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from app.errors import IdempotencyMismatchError


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key. The key is its user's own.

    Attributes:
        key: what the client calls it.
        request_hash: of all that was asked: it tells another request with the same key.
    """

    org_id: str
    user_id: str
    key: str
    request_hash: bytes


def request_hash(*parts: Any) -> bytes:
    """SHA-256 of the JSON of a request."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def check_same(known_hash: bytes, request_hash: bytes) -> None:
    """Requires that the request is the one that the key came with first.

    Raises:
        IdempotencyMismatchError: it is another one.
    """
    if known_hash != request_hash:
        raise IdempotencyMismatchError("This idempotency key was used for another request.")
