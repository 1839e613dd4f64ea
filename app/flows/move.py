"""What a transition comes to beside its state: what is said, asked of people, and achieved."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.enums import ActionExpiry, ActionKind, ActionStatus, Approvers, MessageRole
from app.goals.turn import GoalChange


class Recording(StrEnum):
    """What of a transition goes into the dialogue."""

    NONE = "none"
    RAW = "raw"
    RENDERED = "rendered"


@dataclass(frozen=True, slots=True)
class TurnMessage:
    """What a transition adds to the dialogue by itself; blocks as on the wire.

    Attributes:
        role: who says it.
        content: the blocks.
        complete: False where more is to come: then it is the last message, and can grow.
        failed: it says that the turn failed.
        grows: it belongs to the last message, which was not complete.
        behind: it stands behind what the user said with the event.
        reasoning: of an answer that calls tools: what its model is sent back within the turn.
    """

    role: MessageRole
    content: list[dict[str, Any]]
    complete: bool = True
    failed: bool = False
    grows: bool = False
    behind: bool = False
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedAction:
    """What a transition asks of people or clients before the turn goes on.

    Attributes:
        tool_call_id: the call that waits, whose `name` and `arguments` are here; None where a
            budget is used up: then the arguments say which.
        answer_schema: the JSON Schema of the arguments that an approval may bring.
        seconds: after which it ends as `on_expiry` says.
        approvers: who may resolve it; None: each of them.
        question: what is asked, where that is not about a call.
    """

    id: str
    kind: ActionKind
    tool_call_id: str | None
    name: str | None
    arguments: dict[str, Any]
    answer_schema: dict[str, Any] | None
    seconds: float
    on_expiry: ActionExpiry
    approvers: Approvers | None = None
    question: str | None = None


@dataclass(frozen=True, slots=True)
class ClosedAction:
    """How a transition ends an action; `resolution` is what was decided about it, if it was."""

    id: str
    status: ActionStatus
    resolution: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What an event comes to where the model alone decides it; the chart says where that leads.

    Attributes:
        key: what the guards tell one such outcome from another by.
        recording: what the dialogue keeps of the event.
    """

    key: str
    recording: Recording = Recording.NONE
    messages: Sequence[TurnMessage] = ()
    goal_changes: Sequence[GoalChange] = ()
    actions: Sequence[OpenedAction | ClosedAction] = ()
