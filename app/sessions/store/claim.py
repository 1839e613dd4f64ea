"""A claimed step: this worker's, until its lease lapses."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg
import orjson

from app.enums import StepKind
from app.flows.scope import StepScope
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
    def from_row(cls, row: asyncpg.Record, outer: StepScope, prefix: str = "") -> Self:
        """The composite in a row that has its columns, each named with the prefix.

        Args:
            row: has the columns.
            outer: the scope of the composite above it.
            prefix: of the columns' names.
        """
        return cls(
            id=row[f"{prefix}id"],
            path=row[f"{prefix}path"],
            kind=StepKind(row[f"{prefix}kind"]),
            remaining=row[f"{prefix}remaining"],
            scope=_scope_of(row[f"{prefix}input"], outer),
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
        """The seconds until the deadline of the invocation."""
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
        outer = StepScope()
        for stored in row["outer_inputs"] or ():
            outer = _scope_of(stored, outer)
        parent = Composite.from_row(row, outer, "parent_") if row["parent_id"] else None
        return cls(
            step_id=row["step_id"],
            queue=row["step_queue"],
            path=row["path"],
            parent=parent,
            attempt=row["attempt"],
            failures=row["failures"],
            losses=row["losses"],
            lost_workers=row["lost_workers"],
            max_attempts=row["max_attempts"],
            scope=_scope_of(row["step_input"], parent.scope if parent else StepScope()),
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


def composites_of(rows: Iterable[asyncpg.Record]) -> dict[str, Composite]:
    """The open composites of an invocation, by path: each with those above it among the rows."""
    found: dict[str, Composite] = {}
    for row in sorted(rows, key=lambda row: len(row["path"])):
        above = found.get(row["path"].rpartition("/")[0])
        outer = StepScope() if above is None else above.scope
        found[row["path"]] = Composite.from_row(row, outer)
    return found


def _scope_of(stored: dict[str, Any], outer: StepScope) -> StepScope:
    """A step's scope as it was stored, below that of the composite above it.

    An earlier release stored all of it: that hides what is above it, which is a part of it.
    """
    own = StepScope(stored["previous_result"], orjson.loads(stored["fields"]))
    return own.within(outer)
