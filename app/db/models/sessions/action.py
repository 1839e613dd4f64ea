"""An action: what a session asks of people or clients before it goes on."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, enum_column, json_column, moment
from app.enums import ActionExpiry, ActionKind, ActionStatus, Approvers


class Action(SQLModel, table=True):
    """An action is opened and closed in the statements of its session's transitions, or of a step.

    `tool_call_id`, `name` and `arguments` are those of the call that waits; `answer_schema` is the
    JSON Schema of arguments that an approval may bring. After `deadline` it ends as `on_expiry`
    says. `approvers` null lets both kinds of them decide. `resolution` is the decision, with what
    came with it; `resolved_by` is the user that it came from, null where it was nobody's.

    One with a `step_id` asks `question`, and its `answer_schema` is that of the answer. It is open
    only while the step is there and waits for it, whatever its own status says.
    """

    __tablename__ = "action"
    __table_args__ = (
        Index("ix_action_page", "org_id", "created", "id"),
        Index("ix_action_deadline", "deadline", postgresql_where="status = 'open'"),
        Index(
            "ix_action_raise",
            "org_id",
            "resolved_at",
            postgresql_where="kind = 'budget' AND status = 'approved'",
        ),
    )

    id: str = Field(primary_key=True)
    session_id: str = Field(
        sa_column=Column(
            String, ForeignKey("session.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    org_id: str
    kind: ActionKind = enum_column(ActionKind)
    step_id: str | None = None
    question: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    arguments: dict[str, Any] = json_column()
    answer_schema: dict[str, Any] | None = json_column(nullable=True)
    approvers: Approvers | None = enum_column(Approvers, nullable=True)
    deadline: datetime | None = moment()
    on_expiry: ActionExpiry = enum_column(ActionExpiry)
    status: ActionStatus = enum_column(ActionStatus)
    resolution: dict[str, Any] | None = json_column(nullable=True)
    resolved_by: str | None = None
    resolved_at: datetime | None = moment()
    created: datetime = created_at()
