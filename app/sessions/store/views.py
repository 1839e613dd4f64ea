"""A session as readers see it: its row, and the invocation that runs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg

from app.sessions.store.change import Snapshot


@dataclass(frozen=True, slots=True)
class Running:
    """The invocation of a session; its step is named where a single one makes the answer."""

    invocation_id: str
    event: str
    since: datetime
    step_id: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class SessionWithInvocation:
    """A session and what runs in it."""

    session: Snapshot
    running: Running | None

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """From the row of the viewing statement."""
        running = None
        if row["running_id"] is not None:
            running = Running(
                row["running_id"],
                row["ending_event"],
                row["entered"],
                row["step_id"],
                row["attempt"] or 0,
            )
        return cls(Snapshot.from_row(row), running)


@dataclass(frozen=True, slots=True)
class PollStatus:
    """A session as a client that polls is told of it.

    Attributes:
        last_content: the blocks of the last message that its last transition made.
        total: steps of the invocation that runs, as far as they are known.
        done: those of them that are done.
    """

    session: Snapshot
    last_content: list[dict[str, Any]] | None
    total: int
    done: int

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """From the row of the status statement."""
        return cls(
            Snapshot.from_row(row), row["last_content"], int(row["total"] or 0), row["done"] or 0
        )
