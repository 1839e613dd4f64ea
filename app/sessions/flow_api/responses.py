"""`AIResponse`: the body that the session endpoints answer with."""

from datetime import datetime
from typing import Any

from pydantic import Field

from app.db.models import StepStatus
from app.enums import StepKind
from app.flows.flow import Flow
from app.sessions.store.change import Change
from app.sessions.store.chart_memory import ChartMemory
from app.sessions.store.snapshot import PollStatus, SessionHead
from app.wire.actions import ActionRecord, action_fields
from app.wire.messages import WireModel, is_cut, plain_text

POLL = "poll"


class Progress(WireModel):
    """How far the invocation that runs has come."""

    total_number_of_subtasks: int = Field(description="Steps, as far as they are known.", ge=0)
    number_of_subtasks_executed: int = Field(description="Those of them that are done.", ge=0)


class TimerRecord(WireModel):
    """An event that the service itself will send to a session."""

    event: str = Field(examples=["remind"])
    state: str = Field(description="The id of the state whose entry it belongs to.")
    due: datetime = Field(description="When; later where an invocation runs then.")


class AIResponse(WireModel):
    """A session, as its client needs to know it to go on."""

    session_id: str = Field(examples=["ath_01k8zq5d3v"])
    next_actions: list[str] = Field(
        description="The events that it takes; `poll` alone while an invocation runs.",
        examples=[["user_input"]],
    )
    response: str | None = Field(
        None, description="What was said last; null if nothing was, or an invocation runs."
    )
    cut: bool = Field(
        default=False,
        description="Whether the response, or a part of it, ended at the limit of its length.",
    )
    error: str | None = Field(None, description="Why the last invocation failed, if it did.")
    progress: Progress | None = Field(None, description="While an invocation runs.")
    warnings: list[str] | None = Field(
        None, description="Of a poll: why what runs may wait for long, such as for a worker."
    )
    timers: list[TimerRecord] | None = Field(
        None,
        description="Events that the service will send, as long as the session does not leave the "
        "state; null: there are none, or it was not read. A poll reads them.",
    )
    required_actions: list[ActionRecord] | None = Field(
        None,
        description="What it waits for people or clients to do; null: not loaded, a poll has it.",
    )


def change_response(flow: Flow, change: Change) -> dict[str, Any]:
    """The response of a session that was just changed."""
    if change.invocation is not None:
        started = sum(1 for step in change.steps if not step.is_composite)
        to_come = sum(s.planned.remaining for s in change.steps if s.planned.kind is StepKind.CHAIN)
        done = sum(1 for step in change.steps if step.status is StepStatus.DONE)
        return _running_response(change.session_id, change.error, started + to_come, done)
    last = change.messages[-1].content if change.messages else None
    return _waiting_response(flow, change.session_id, change.state, change.error, last)


def started_response(session_id: str) -> dict[str, Any]:
    """The response of a session whose invocation was just started; steps are not counted yet."""
    return {
        "session_id": session_id,
        "next_actions": [POLL],
        "response": None,
        "cut": False,
        "error": None,
        "progress": None,
        "required_actions": None,
    }


def status_response(flow: Flow, status: PollStatus) -> dict[str, Any]:
    """The response of a session as it is now."""
    session = status.session
    if session.invocation_id is not None:
        response = _running_response(session.id, session.task_error, status.total, status.done)
    else:
        response = _waiting_response(
            flow, session.id, session.state, session.task_error, status.last_content
        )
    return response | {
        "timers": ChartMemory.from_column(session.chart).shown_timers() or None,
        "required_actions": [action_fields(one) for one in status.open_actions],
    }


def model_response(flow: Flow, session: SessionHead, model: str) -> dict[str, Any]:
    """The response of a session whose model was asked for: it has the model's JSON."""
    actions = flow.next_actions(session.state) if session.invocation_id is None else [POLL]
    return {
        "session_id": session.id,
        "next_actions": actions,
        "response": model,
        "cut": False,
        "error": session.task_error,
        "progress": None,
        "required_actions": None,
    }


def _running_response(session_id: str, error: str | None, total: int, done: int) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "next_actions": [POLL],
        "response": None,
        "cut": False,
        "error": error,
        "progress": {"total_number_of_subtasks": total, "number_of_subtasks_executed": done},
        "required_actions": None,
    }


def _waiting_response(
    flow: Flow, session_id: str, state: str, error: str | None, last: list[dict[str, Any]] | None
) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "next_actions": flow.next_actions(state),
        "response": plain_text(last or []) or None,
        "cut": is_cut(last or []),
        "error": error,
        "progress": None,
        "required_actions": None,
    }
