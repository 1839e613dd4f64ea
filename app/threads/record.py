"""Threads as the wire shows them: sessions in the words of the published client."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from app.enums import MessageRole, ThreadVisibility
from app.flows.library.chat import KEY
from app.flows.library.chat_machine import ON_THE_WIRE
from app.goals.turn import GoalStatus
from app.sessions.store.change import Change
from app.sessions.store.goal_rows import GoalRow
from app.sessions.store.snapshot import SessionHead, SessionWithInvocation, Snapshot
from app.sessions.store.stored_rows import StoredGoal, StoredMessage
from app.threads.cursor import Cursor
from app.wire.actions import ActionRecord, action_fields, activity
from app.wire.messages import AgentMessage, AgentUsage, WireModel


class AgentThreadGoalRecord(WireModel):
    """What a turn of a thread is to bring about, and how far it has come."""

    goal_type: str = Field(description="Its kind.", examples=["dataset_summary"])
    goal_data: dict[str, Any] = Field(description="The goal as it was declared.")
    status: GoalStatus = Field(description="How far it has come.")
    message_sequence_num: int = Field(description="Index of the message that declared it.")
    created: datetime = Field(description="When it was declared (UTC).")
    concluded_at: datetime | None = Field(
        None, description="When it was achieved or given up (UTC)."
    )
    achieve_tool_use_id: str | None = Field(
        None, description="The call that achieved it, or was the last that did not."
    )


class AgentThreadRecord(WireModel):
    """A thread, with its messages where they were asked for."""

    thread_id: str = Field(description="Id of the thread.", examples=["ath_01k8zq5d3v"])
    org_id: str = Field(description="The org that owns it.")
    created: datetime = Field(description="When it was started (UTC).")
    created_by: str = Field(description="Id of the user who started it.")
    status: str = Field(
        description="Whose turn it is: the state of the thread's flow. Of `chat`, `roboto_turn`"
        " while more messages are there than were given.",
        examples=["user_turn"],
    )
    continuation_token: str = Field(description="For `delta`: what came after this record.")
    messages: list[AgentMessage] = Field(
        [], description="Oldest first; as many as one answer holds, others come by `delta`."
    )
    title: str | None = Field(None, description="How its first message begins.")
    activity: str | None = Field(None, description="What is being done beside the messages.")
    model_profile: str | None = Field(None, description="Which model profile answers.")
    visibility: ThreadVisibility = Field(description="Who may read it.")
    required_actions: list[ActionRecord] | None = Field(
        None, description="What it waits for people or clients to do; null: not loaded."
    )
    flow: str = Field(description="Key of the flow that it runs.", examples=["chat"])
    created_from_agent_id: str | None = Field(None, description="The agent it was launched from.")
    parent_thread_id: str | None = Field(
        None, description="The thread that called it, where its agent is a tool of another one."
    )
    forked_from_thread_id: str | None = Field(None, description="The thread it was forked from.")
    forked_from_message_sequence_num: int | None = Field(
        None, description="The last message that the fork took over."
    )
    usage: AgentUsage | None = Field(
        None,
        description="What all requests to models took; only where one thread is read, and none "
        "while there were none that count tokens.",
    )
    pinned_at: datetime | None = Field(
        None, description="When the caller pinned it; only in lists and searches."
    )
    goals: list[AgentThreadGoalRecord] | None = Field(
        None, description="Those of all its turns, oldest first; null: not given here."
    )
    output: dict[str, Any] | None = Field(
        None, description="What a turn with an output_schema gave last; where messages are given."
    )


class AgentThreadDelta(WireModel):
    """What is new in a thread since a continuation token."""

    messages_by_idx: dict[int, AgentMessage] = Field(
        description="By index: whole messages, or the content that was added to one."
    )
    continuation_token: str = Field(description="For the next delta.")
    reset_from_message_sequence_num: int | None = Field(
        None, description="Drop held messages from this index on before applying the delta."
    )
    status: str | None = Field(
        None,
        description="Whose turn it is; null: unchanged. Of `chat`, `roboto_turn` while there are"
        " more messages than one answer holds.",
    )
    activity: str | None = Field(None, description="What is being done beside the messages.")
    title: str | None = Field(None, description="The title; null: unchanged.")
    goals: list[AgentThreadGoalRecord] | None = Field(
        None, description="All goals as they are now; null: unchanged."
    )
    required_actions: list[ActionRecord] | None = Field(
        None, description="What it waits for people or clients to do; null: unchanged."
    )


def thread_status(flow: str, state: str) -> str:
    """The status of a thread; of `chat` one of the five words that the published client knows."""
    return ON_THE_WIRE.get(state, state) if flow == KEY else state


def waiting_fields(view: SessionWithInvocation) -> dict[str, Any]:
    """What a thread waits for, as a part of its record."""
    return {
        "required_actions": [action_fields(action) for action in view.open_actions],
        "activity": activity(view.open_actions),
    }


def thread_fields(session: SessionHead) -> dict[str, Any]:
    """The record of a session, without its messages and its token."""
    return {
        "thread_id": session.id,
        "org_id": session.org_id,
        "created": session.created,
        "created_by": session.created_by,
        "status": thread_status(session.flow, session.state),
        "title": session.title,
        "visibility": session.visibility,
        "model_profile": session.model_profile,
        "flow": session.flow,
        "created_from_agent_id": session.agent_id,
        "parent_thread_id": session.parent_session_id,
        "forked_from_thread_id": session.forked_from_id,
        "forked_from_message_sequence_num": session.forked_from_message,
    }


def changed_thread_fields(before: Snapshot, change: Change) -> dict[str, Any]:
    """The thread after a change, without messages: the token leads on to what comes of it."""
    return thread_fields(before) | {
        "created": before.created.isoformat(),
        "status": thread_status(before.flow, change.state),
        "messages": [],
        "continuation_token": Cursor(before.version + 1, change.complete_count).token(),
    }


def goal_fields(goal: StoredGoal) -> dict[str, Any]:
    """A stored goal."""
    return {
        "goal_type": goal.kind,
        "goal_data": goal.data,
        "status": goal.status,
        "message_sequence_num": goal.message_idx,
        "created": goal.created,
        "concluded_at": goal.concluded_at,
        "achieve_tool_use_id": goal.tool_use_id,
    }


def last_output(goals: Sequence[StoredGoal]) -> dict[str, Any] | None:
    """What a turn with an output schema gave last."""
    outputs = (goal.output for goal in reversed(goals) if goal.output is not None)
    return next(outputs, None)


def declared_goal_fields(row: GoalRow) -> dict[str, Any]:
    """A goal that is being declared, without its time."""
    return {
        "goal_type": row.change.goal.kind,
        "goal_data": row.change.goal.data,
        "status": row.change.goal.status,
        "message_sequence_num": row.message_idx,
        "concluded_at": None,
        "achieve_tool_use_id": None,
    }


def message_fields(message: StoredMessage) -> dict[str, Any]:
    """A stored message; clients know no role `system`, which an old one may have."""
    fields = {
        "role": MessageRole.ROBOTO if message.role is MessageRole.SYSTEM else message.role,
        "content": message.content,
        "status": message.status,
        "created": message.created,
    }
    known = {"usage": message.usage, "created_by": message.created_by}
    return fields | {name: value for name, value in known.items() if value is not None}
