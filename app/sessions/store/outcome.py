"""What comes of a write that asks for what was read."""

from dataclasses import dataclass
from datetime import datetime

from app.sessions.store.new_rows import DueStep


@dataclass(frozen=True, slots=True)
class Superseded:
    """A write that wrote nothing: another change was faster, or another attempt has the step."""


@dataclass(frozen=True, slots=True)
class Started:
    """The session was written; `created` is by the database's clock."""

    created: datetime


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The session's id, made from an idempotency key, is there already; nothing was written.

    Or the step that was to start it is another attempt's by now, or over.
    """


@dataclass(frozen=True, slots=True)
class Resumed:
    """A failed invocation goes on: a worker may take these steps of it now."""

    due: list[DueStep]
