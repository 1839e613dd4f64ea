"""Ids that are prefixed, sortable by time and made in the process."""

import hashlib
from datetime import datetime

from ulid import ULID
from ulid.constants import TIMESTAMP_REPR_LEN


def new_id(prefix: str) -> str:
    """`<prefix>_<26 characters>`: later ids sort after earlier ones (to the millisecond)."""
    return f"{prefix}_{str(ULID()).lower()}"


def first_id(prefix: str, moment: datetime) -> str:
    """What sorts after all ids made before a moment, and before those made since."""
    return f"{prefix}_{str(ULID.from_datetime(moment))[:TIMESTAMP_REPR_LEN].lower()}"


def derived_id(prefix: str, *parts: str) -> str:
    """The same id for the same parts, always: what makes a creation idempotent."""
    digest = hashlib.sha256("\x00".join(parts).encode()).digest()
    return f"{prefix}_{str(ULID.from_bytes(digest[:16])).lower()}"
