"""A step: one node of an invocation's step graph. The row is the outbox."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.db.models.columns import (
    counter,
    created_at,
    enum_column,
    flag,
    json_column,
    moment,
)
from app.enums import StepKind


class StepStatus(StrEnum):
    """How far a step has come; done, failed and superseded are final."""

    WAITING = "waiting"  # a composite, for its children; a leaf, for what it `waits_for`
    QUEUED = "queued"  # to be claimed once `run_after` has come
    RUNNING = "running"  # claimed by a worker until `lease_until`
    DONE = "done"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # its invocation ended without it


class Step(SQLModel, table=True):
    """One node of the step graph, with what its render sees, its lease and its result.

    `path` is the node's place in the template: "" for the root, then "/0", "/0/name" and so on.
    `remaining` counts what a composite waits for: of a parallel or a map the children that are not
    done, of a chain the leaves of the parts after the one that runs. `cut` says of a composite that
    an answer in it ended at the limit of its length. `input` is what its render sees:
    `previous_result`, map index and value. `attempt` is the fence of what a worker writes. Of the
    attempts, `failures` were failed by the invoker, which `max_attempts` bounds, and `losses` ended
    without an answer; `lost_workers` counts the workers that were lost while they ran it, and one
    that lost any is run alone among such. `protocol` is that of the process that planned it: the
    rules by which the row is read. `waits_for` is the id of the session or action that a leaf waits
    for without a worker, or waited for; it is looked at again at `run_after`, whatever became of
    that.
    """

    __tablename__ = "step"
    __table_args__ = (
        UniqueConstraint("invocation_id", "path"),
        Index("ix_step_queued", "queue", "published_at", postgresql_where="status = 'queued'"),
        Index("ix_step_running", "queue", "lease_until", postgresql_where="status = 'running'"),
        Index("ix_step_session", "session_id"),
        Index(
            "ix_step_waits",
            "waits_for",
            postgresql_where="waits_for IS NOT NULL AND status <> 'done'",
        ),
    )

    id: str = Field(primary_key=True)
    invocation_id: str = Field(
        sa_column=Column(String, ForeignKey("invocation.id", ondelete="CASCADE"), nullable=False)
    )
    session_id: str = Field(
        sa_column=Column(String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False)
    )
    org_id: str
    path: str = ""
    parent_id: str | None = None
    kind: StepKind = enum_column(StepKind, StepKind.LEAF)
    status: StepStatus = enum_column(StepStatus)
    queue: str = "default"
    attempt: int = 0
    failures: int = counter(0)
    losses: int = counter(0)
    lost_workers: int = counter(0)
    max_attempts: int
    protocol: int = counter(1)
    remaining: int = 0
    cut: bool = flag()
    input: dict[str, Any] = json_column()
    result: str | None = None
    error: str | None = None
    run_after: datetime = created_at()
    lease_until: datetime | None = moment()
    published_at: datetime | None = moment()
    waits_for: str | None = None
    created: datetime = created_at()
    finished_at: datetime | None = moment()
