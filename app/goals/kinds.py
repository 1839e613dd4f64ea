"""The kinds of goals there are."""

from collections.abc import Mapping
from typing import Any

from app.goals.create_events import CreateEvents
from app.goals.dataset_summary import DatasetSummary
from app.goals.dataset_triage import DatasetTriage
from app.goals.goal import Goal
from app.goals.output import SCHEMA, Output

KINDS: dict[str, type[Goal]] = {
    goal.kind: goal for goal in (DatasetSummary, DatasetTriage, CreateEvents, Output)
}


def goal_of(kind: str, data: Mapping[str, Any], scope: Mapping[str, Any] | None = None) -> Goal:
    """A goal as it was declared, of a turn that looks at a span of time."""
    return KINDS[kind](data, scope)


def declared_goals(request: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The goals that a client's request declares, as (kind, data)."""
    declared = [(str(goal["goal_type"]), goal) for goal in request.get("goals") or []]
    schema = request.get(SCHEMA)
    return declared if schema is None else [*declared, (Output.kind, {SCHEMA: schema})]
