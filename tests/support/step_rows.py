"""The steps of invocations in memory, under the rules of the statements that keep them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from app.db.models import StepStatus
from app.enums import StepKind
from app.flows.scope import StepScope
from app.sessions.store.claim import Claim, Composite
from app.sessions.store.new_rows import NewStep, StepFence
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.step_store import ChildResult


@dataclass
class Row:
    step: NewStep
    status: StepStatus
    attempt: int
    remaining: int
    result: str | None
    failures: int = 0
    losses: int = 0
    cut: bool = False


class StepRowsInMemory:
    """What `SessionStore` does with steps: each method is one statement, fenced by the attempt."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(self, steps: Sequence[NewStep]) -> None:
        for step in steps:
            known = [row.step for row in self.rows.values()]
            place = (step.invocation_id, step.planned.path)
            assert place not in {(one.invocation_id, one.planned.path) for one in known}
            assert step.parent_id is None or step.parent_id in self.rows
            planned = step.planned
            attempt = 0 if step.lease is None else 1
            self.rows[step.id] = Row(step, step.status, attempt, planned.remaining, planned.result)

    def queued(self) -> list[str]:
        return [id_ for id_, row in self.rows.items() if row.status is StepStatus.QUEUED]

    def held(self) -> list[str]:
        return [id_ for id_, row in self.rows.items() if row.status is StepStatus.RUNNING]

    def claim_one(self, step_id: str) -> Claim:
        row = self.rows[step_id]
        row.status, row.attempt = StepStatus.RUNNING, row.attempt + 1
        parent = self.rows.get(row.step.parent_id or "")
        return Claim(
            step_id=step_id,
            queue=row.step.planned.queue,
            path=row.step.planned.path,
            parent=None if parent is None else self._composite(parent),
            attempt=row.attempt,
            failures=row.failures,
            losses=row.losses,
            lost_workers=0,
            max_attempts=row.step.max_attempts,
            scope=self._scope(row),
            result=row.result,
            invocation_id=row.step.invocation_id,
            flow_fingerprint=None,
            event="done",
            state="working",
            actor_input="",
            entered=datetime.now(UTC),
            deadline=math.inf,
            session=cast(Snapshot, SimpleNamespace(org_id="org_1")),  # all that is looked at
            budgets=None,
        )

    def progress(self) -> tuple[int, int]:
        """Steps that are done and all steps, as the status statement counts them."""
        weights = [
            (row, row.remaining if row.step.planned.kind == StepKind.CHAIN else 1)
            for row in self.rows.values()
            if row.step.planned.kind in (StepKind.LEAF, StepKind.CHAIN)
        ]
        done = sum(weight for row, weight in weights if row.status is StepStatus.DONE)
        return done, sum(weight for _, weight in weights)

    async def composites(self, invocation_id: str) -> dict[str, Composite]:
        return {
            row.step.planned.path: self._composite(row)
            for row in self.rows.values()
            if row.step.is_composite
            and row.status is StepStatus.WAITING
            and row.step.invocation_id == invocation_id
        }

    async def results(self, composite_id: str) -> dict[str, str]:
        return {
            row.step.planned.path: row.result or ""
            for row in self.rows.values()
            if row.step.parent_id == composite_id and row.status is StepStatus.DONE
        }

    async def renew(self, held: Sequence[StepFence], lease: float) -> dict[str, bool]:
        return {fence.step_id: True for fence in held if self._is_held(*fence)}

    async def count(self, results: list[ChildResult]) -> list[bool]:
        return [self._count(result) for result in results]

    async def advance(
        self,
        claim: Claim,
        result: str,
        *,
        parent_id: str,
        to_come: int,
        cut: bool,
        composites: list[tuple[str, str]],
        steps: list[NewStep],
    ) -> bool:
        parent = self.rows[parent_id]
        if not self._is_held(*claim.fence) or (not steps and parent.remaining <= 1):
            return False
        self._finish(claim.step_id, result)
        for composite_id, text in composites:
            self._finish(composite_id, text)
        parent.remaining = to_come if steps else parent.remaining - 1
        parent.cut = parent.cut or cut
        self.add(steps)
        return True

    def _count(self, child: ChildResult) -> bool:
        parent = self.rows[child.counted]
        if not self._is_held(child.step_id, child.attempt) or parent.remaining <= 1:
            return False
        self._finish(child.step_id, child.result)
        parent.remaining -= 1
        parent.cut = parent.cut or child.cut
        return True

    def _finish(self, step_id: str, result: str) -> None:
        self.rows[step_id].status = StepStatus.DONE
        self.rows[step_id].result = result

    def _is_held(self, step_id: str, attempt: int) -> bool:
        row = self.rows[step_id]
        return row.status is StepStatus.RUNNING and row.attempt == attempt

    def _composite(self, row: Row) -> Composite:
        planned = row.step.planned
        kind, left = planned.kind, row.remaining
        return Composite(row.step.id, planned.path, kind, left, self._scope(row), row.cut)

    def _scope(self, row: Row) -> StepScope:
        """What a step sees: of its row, and of those of the composites above it."""
        above = self.rows.get(row.step.parent_id or "")
        return row.step.own.within(StepScope() if above is None else self._scope(above))
