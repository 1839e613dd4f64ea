"""Rows that belong to a session, as they were read: messages, goals, actions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg

from app.db.models import Action, MessageStatus
from app.enums import (
    ActionExpiry,
    ActionKind,
    ActionStatus,
    Approvers,
    MessageRole,
)
from app.goals.turn import GoalStatus


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a dialogue; blocks as on the wire.

    `usage` is what the requests took by which a model made it, where it says so; `created_by` the
    user who wrote it.
    """

    idx: int
    role: MessageRole
    content: list[dict[str, Any]]
    status: MessageStatus
    created: datetime
    usage: dict[str, Any] | None = None
    created_by: str | None = None

    @classmethod
    def from_row(cls, row: asyncpg.Record, prefix: str = "") -> Self:
        """The message in a row that has its columns, each named with the prefix."""
        return cls(
            row[f"{prefix}idx"],
            MessageRole(row[f"{prefix}role"]),
            row[f"{prefix}content"],
            MessageStatus(row[f"{prefix}status"]),
            row[f"{prefix}created"],
            row[f"{prefix}usage"],
            row[f"{prefix}created_by"],
        )


def read_action(columns: Mapping[str, Any]) -> Action:
    """An action, from its columns as JSON; it belongs to no transaction."""
    moments = {
        name: columns[name] and datetime.fromisoformat(columns[name])
        for name in ("created", "deadline", "resolved_at")
    }
    words = {
        "kind": ActionKind(columns["kind"]),
        "status": ActionStatus(columns["status"]),
        "on_expiry": ActionExpiry(columns["on_expiry"]),
        "approvers": columns["approvers"] and Approvers(columns["approvers"]),
    }
    return Action(**{**columns, **moments, **words})


@dataclass(frozen=True, slots=True)
class StoredGoal:
    """A goal of a thread; times as JSON has them."""

    kind: str
    data: dict[str, Any]
    status: GoalStatus
    message_idx: int
    tool_use_id: str | None
    output: dict[str, Any] | None
    created: str
    concluded_at: str | None
