"""A claimed step: this worker's, until its lease lapses."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson

from app.flows.graph import Scope
from app.sessions.change import Snapshot


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt of one step. `attempt` is its fence.

    `result` is set where there is nothing to run; `event` ends the invocation; `entered` is when
    the session entered the state, which the render data show as the current time.
    """

    step_id: str
    path: str
    parent_id: str | None
    attempt: int
    max_attempts: int
    scope: Scope
    result: str | None
    invocation_id: str
    event: str
    state: str
    actor_input: str
    entered: datetime
    session: Snapshot

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """From the row that the claiming statement returns."""
        return cls(
            step_id=row["step_id"],
            path=row["path"],
            parent_id=row["parent_id"],
            attempt=row["attempt"],
            max_attempts=row["max_attempts"],
            scope=scope_of(row["step_input"]),
            result=row["step_result"],
            invocation_id=row["running_id"],
            event=row["ending_event"],
            state=row["invoker_state"],
            actor_input=row["actor_input"],
            entered=row["entered"],
            session=Snapshot.from_row(row),
        )


def scope_of(stored: dict[str, Any]) -> Scope:
    """A step's scope as it was stored."""
    return Scope(stored["previous_result"], orjson.loads(stored["fields"]))
