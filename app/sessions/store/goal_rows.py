"""What a change of a session writes of its goals, and of what achieved ones bring about."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.goals.goal import GoalEffect
from app.goals.turn import GoalChange


class GoalRow(NamedTuple):
    """A change of a goal, and the index of the message that declares it where it is new."""

    change: GoalChange
    message_idx: int


@dataclass(slots=True)
class _Dataset:
    """What a change makes of one dataset: a statement can update a row only once."""

    id: str
    summary: str | None
    tags: set[str]
    removed_tags: set[str]

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "summary": self.summary,
            "tags": sorted(self.tags),
            "removed_tags": sorted(self.removed_tags),
        }


def goal_columns(rows: list[GoalRow]) -> dict[str, Any]:
    """The goals of a change as the statements take them, with all effects."""
    effects = [row.change.effect for row in rows if row.change.effect is not None]
    return {
        "new_goals": [_new_goal(row) for row in rows if row.change.new],
        "changed_goals": [_changed_goal(row.change) for row in rows if not row.change.new],
        "datasets": [dataset.row() for dataset in _datasets(effects)],
        "dataset_events": [event for effect in effects for event in effect.events],
    }


def _new_goal(row: GoalRow) -> dict[str, Any]:
    goal = row.change.goal
    return {
        "idx": goal.idx,
        "kind": goal.kind,
        "data": goal.data,
        "status": goal.status,
        "message_idx": row.message_idx,
    }


def _changed_goal(change: GoalChange) -> dict[str, Any]:
    goal = change.goal
    return {
        "idx": goal.idx,
        "status": goal.status,
        "tool_use_id": goal.tool_use_id,
        "output": change.effect and change.effect.output,
    }


def _datasets(effects: Iterable[GoalEffect]) -> Iterable[_Dataset]:
    found: dict[str, _Dataset] = {}
    for effect in effects:
        if effect.dataset_id is None:
            continue
        empty = _Dataset(effect.dataset_id, None, set(), set())
        dataset = found.setdefault(effect.dataset_id, empty)
        dataset.summary = dataset.summary if effect.summary is None else effect.summary
        dataset.tags = (dataset.tags - set(effect.removed_tags)) | set(effect.tags)
        dataset.removed_tags = (dataset.removed_tags - set(effect.tags)) | set(effect.removed_tags)
    return found.values()
