"""A claimed step: this worker's, until its lease lapses."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson

from app.enums import StepKind
from app.flows.graph import StepScope
from app.sessions.store.limits import Budgets
from app.sessions.store.new_rows import NewStep, StepFence
from app.sessions.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Composite:
    """A chain, parallel or map that waits; `remaining` and `cut` as they were when it was read."""

    id: str
    path: str
    kind: StepKind
    remaining: int
    scope: StepScope
    cut: bool = False

    @classmethod
    def of(cls, step: NewStep) -> Self:
        """The same as it was stored."""
        planned = step.planned
        return cls(step.id, planned.path, planned.kind, planned.remaining, planned.scope)

    @classmethod
    def from_row(cls, row: asyncpg.Record, prefix: str = "") -> Self:
        """The composite in a row that has its columns, each named with the prefix."""
        return cls(
            id=row[f"{prefix}id"],
            path=row[f"{prefix}path"],
            kind=StepKind(row[f"{prefix}kind"]),
            remaining=row[f"{prefix}remaining"],
            scope=scope_of(row[f"{prefix}input"]),
            cut=row[f"{prefix}cut"],
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt of one step. `attempt` is its fence.

    `failures` counts the attempts that its invoker failed, `losses` those that ended without an
    answer, `lost_workers` the workers that were lost meanwhile. `flow_fingerprint` is that of the
    code by which the state was entered. `result` is set where there is nothing to run; `event` ends
    the invocation; `entered` is when the session entered the state, which the render data show as
    the current time. `deadline` is when the invocation ends at the latest, by the monotonic clock
    of this process.
    `waits_for` is what an attempt before this one waited for without a worker.
    `budgets` is None where nothing bounds what requests to models take.
    """

    step_id: str
    queue: str
    path: str
    parent: Composite | None
    attempt: int
    failures: int
    losses: int
    lost_workers: int
    max_attempts: int
    scope: StepScope
    result: str | None
    invocation_id: str
    flow_fingerprint: str | None
    event: str
    state: str
    actor_input: str
    entered: datetime
    deadline: float
    session: Snapshot
    budgets: Budgets | None
    waits_for: str | None = None

    def seconds_left(self) -> float:
        """Until the deadline of the invocation."""
        return self.deadline - time.monotonic()

    @property
    def fence(self) -> StepFence:
        """What a write of this attempt must find."""
        return StepFence(self.step_id, self.attempt)

    @property
    def makes_answer(self) -> bool:
        """Whether it is the only step of its invocation, so that its output is the answer."""
        return not self.path

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> Self:
        """The claim in a row that the claiming statement returns."""
        return cls(
            step_id=row["step_id"],
            queue=row["step_queue"],
            path=row["path"],
            parent=Composite.from_row(row, "parent_") if row["parent_id"] else None,
            attempt=row["attempt"],
            failures=row["failures"],
            losses=row["losses"],
            lost_workers=row["lost_workers"],
            max_attempts=row["max_attempts"],
            scope=scope_of(row["step_input"]),
            result=row["step_result"],
            invocation_id=row["running_id"],
            flow_fingerprint=row["flow_fingerprint"],
            event=row["ending_event"],
            state=row["invoker_state"],
            actor_input=row["actor_input"],
            entered=row["entered"],
            deadline=time.monotonic() + row["seconds_left"],
            session=Snapshot.from_row(row),
            budgets=Budgets.from_row(row),
            waits_for=row["waits_for"],
        )


def scope_of(stored: dict[str, Any]) -> StepScope:
    """A step's scope as it was stored."""
    return StepScope(stored["previous_result"], orjson.loads(stored["fields"]))
