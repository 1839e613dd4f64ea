"""Asks in PostgreSQL: the actions that steps open, and wait for without a worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg

from app.enums import ActionExpiry, ActionKind, ActionStatus, Approvers
from app.sessions.store.new_rows import DueStep, StepFence
from app.sessions.store.outcome import Superseded
from app.sessions.store.sql import ask_sql

# After its deadline an ask ends by itself; should nobody have seen to that, the step looks again.
_SPARE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class NewAsk:
    """What a step asks of a person; also an outcome of its attempt.

    Attributes:
        question: what is asked, in words.
        answer_schema: the JSON Schema of an answer.
        seconds: that an answer is waited for.
        approvers: who may answer; None: each of them.
        kind: what is asked about; of a budget, `arguments` say which.
    """

    id: str
    question: str
    answer_schema: dict[str, Any]
    seconds: float
    on_expiry: ActionExpiry
    approvers: Approvers | None = None
    kind: ActionKind = ActionKind.INPUT
    arguments: dict[str, Any] = field(default_factory=dict)


class AskOutcome(NamedTuple):
    """How an ask stands; `message` and `by`, an e-mail address, are of who ended it."""

    status: ActionStatus
    on_expiry: ActionExpiry
    message: str | None
    by: str | None


class AskedStep(NamedTuple):
    """A step whose ask has ended, and its session."""

    due: DueStep
    session_id: str


class AskStore:
    """The asks of one database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def open(self, fence: StepFence, ask: NewAsk, invocation_seconds: float) -> bool:
        """Lets a step wait for an answer; False if it is not ours any more.

        Args:
            fence: the attempt that ends so.
            ask: what is asked.
            invocation_seconds: that its invocation may take once the ask has ended.
        """
        seconds = ask.seconds + _SPARE_SECONDS
        rows = await self._pool.fetch(ask_sql.ASK, *fence, ask.id, seconds, invocation_seconds, ask)
        return bool(rows)

    async def outcome(self, action_id: str) -> AskOutcome | None:
        """How an ask stands; None: there is none of that id."""
        row = await self._pool.fetchrow(ask_sql.OUTCOME, action_id)
        if row is None:
            return None
        status, on_expiry, message, by = row
        return AskOutcome(ActionStatus(status), ActionExpiry(on_expiry), message, by)

    async def resolve(  # noqa: PLR0917 - what of which action, by whom
        self,
        org_id: str,
        action_id: str,
        status: ActionStatus,
        resolution: dict[str, Any],
        resolved_by: str,
        result: str | None,
    ) -> AskedStep | Superseded:
        """Ends an ask by a decision, while it is open and its step waits."""
        rows = await self._pool.fetch(
            ask_sql.RESOLVE, action_id, org_id, status, resolution, resolved_by, result
        )
        return next(iter(_asked_steps(rows)), Superseded())

    async def expire(self) -> list[AskedStep]:
        """Ends those that nobody answered in time, a bounded part of them."""
        return _asked_steps(await self._pool.fetch(ask_sql.EXPIRE))

    async def withdraw(self, session_id: str) -> None:
        """Ends those of a session whose invocation has ended."""
        await self._pool.execute(ask_sql.WITHDRAW, session_id)


def _asked_steps(rows: Sequence[asyncpg.Record]) -> list[AskedStep]:
    return [
        AskedStep(DueStep(row["step_id"], row["queue"], row["org_id"]), row["session_id"])
        for row in rows
    ]
