"""Actions as the wire shows them: what a turn asks of people or clients before it goes on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field
from typing_extensions import TypeAliasType

from app.db.models import Action
from app.enums import ActionDecision, ActionExpiry, ActionKind, ActionStatus, Approvers
from app.wire.messages import WireModel

MAX_MESSAGE_CHARS = 10_000

ActionResult = TypeAliasType("ActionResult", str | bool | int | float | dict[str, Any] | list[Any])


class ActionRecord(WireModel):
    """An action that a turn waits for, or waited for."""

    action_id: str = Field(description="Id of the action.", examples=["act_01k8zq5d3v"])
    thread_id: str = Field(description="The thread, or session, that waits.")
    kind: ActionKind = Field(description="What is asked.")
    status: ActionStatus = Field(description="Whether it is open, or how it ended.")
    step_id: str | None = Field(None, description="The step of a flow that asks, if one does.")
    question: str | None = Field(None, description="What it asks, in words.")
    tool_use_id: str | None = Field(
        None, description="The call that waits; null: none does.", examples=["tu_01k8zq5d3v"]
    )
    tool_name: str | None = Field(
        None, description="The tool that is called.", examples=["delete_order"]
    )
    arguments: dict[str, Any] = Field(
        description="What the model calls it with. Of a budget: its `scope` (who set it) and "
        "`period`, the `limit` that is reached, what is `used`, and what the next request may need."
    )
    answer_schema: dict[str, Any] | None = Field(
        None,
        description="The JSON Schema of the answer; of an approval, of the arguments that it may "
        "bring, which of a budget are its new limit.",
    )
    approvers: Approvers | None = Field(None, description="Who may resolve it; null: each of them.")
    created: datetime = Field(description="When it was asked (UTC).")
    expires_at: datetime | None = Field(None, description="Until when it waits (UTC).")
    on_expiry: ActionExpiry = Field(description="What becomes of the call, or the step, then.")
    decision: ActionDecision | None = Field(None, description="What was decided.")
    decided_arguments: dict[str, Any] | None = Field(
        None, description="With which arguments the call was approved, where they were changed."
    )
    message: str | None = Field(None, description="What was said with the decision.")
    result: ActionResult | None = Field(
        None, description="What the call gave back, or a person, where that was the answer."
    )
    resolved_by: str | None = Field(None, description="Id of the user who ended it.")
    resolved_at: datetime | None = Field(None, description="When it ended (UTC).")


class ResolveActionRequest(WireModel):
    """A decision about an action."""

    decision: ActionDecision = Field(
        description="An approval is approved or denied. A budget is approved (with the new limit "
        "as `arguments`) or denied: the turn ends. The call of a client's tool is answered or "
        "denied. A call whose outcome is not known is approved (it is made again), answered (it "
        "was done) or denied (it is given up). What a step asks is answered, or denied: then the "
        "step fails."
    )
    arguments: dict[str, Any] | None = Field(
        None, description="In place of the call's own, or the new limit; only with an approval."
    )
    message: str | None = Field(
        None,
        description="Why it is denied, for the model or whoever reads the failure.",
        max_length=MAX_MESSAGE_CHARS,
    )
    result: ActionResult | None = Field(
        None,
        description="What the call gave back: a text, an object or a list. To what a step asks, any"
        " JSON that fits its schema. Only with an answer, which needs it.",
    )


def action_fields(action: Action) -> dict[str, Any]:
    """The record of an action."""
    resolution = action.resolution or {}
    return {
        "action_id": action.id,
        "thread_id": action.session_id,
        "kind": action.kind,
        "status": action.status,
        "step_id": action.step_id,
        "question": action.question,
        "tool_use_id": action.tool_call_id,
        "tool_name": action.name,
        "arguments": action.arguments,
        "answer_schema": action.answer_schema,
        "approvers": action.approvers,
        "created": _moment(action.created),
        "expires_at": _moment(action.deadline),
        "on_expiry": action.on_expiry,
        "decision": resolution.get("decision"),
        "decided_arguments": resolution.get("arguments"),
        "message": resolution.get("message"),
        "result": resolution.get("result"),
        "resolved_by": action.resolved_by,
        "resolved_at": _moment(action.resolved_at),
    }


def _moment(value: datetime | None) -> datetime | None:
    return value and value.astimezone(UTC)


def activity(actions: Sequence[Action]) -> str | None:
    """What a thread waits for people to do, in words; None: for nothing of theirs."""
    approvals = _names(actions, ActionKind.APPROVAL)
    unknown = _names(actions, ActionKind.UNKNOWN_OUTCOME)
    parts = [f"approval of {approvals}"] if approvals else []
    parts += [f"word on what became of {unknown}"] if unknown else []
    parts += ["an answer"] if any(one.kind is ActionKind.INPUT for one in actions) else []
    budget = any(one.kind is ActionKind.BUDGET for one in actions)
    parts += ["a larger budget"] if budget else []
    return f"Waiting for {' and '.join(parts)}" if parts else None


def _names(actions: Sequence[Action], kind: ActionKind) -> str:
    names = (action.name for action in actions if action.kind is kind and action.name is not None)
    return ", ".join(dict.fromkeys(names))
