"""A new thread, as it is written and as its client gets it."""

from typing import Any

from app.access.caller import Caller
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.new_rows import NewSession
from app.sessions.turn.opening import OpenedSession, StartIdentity, open_session
from app.threads.cursor import Cursor
from app.threads.record import declared_goal_fields


async def open_thread(
    runtime: Runtime,
    caller: Caller,
    change: Change,
    new_session: NewSession,
    identity: StartIdentity,
) -> dict[str, Any]:
    """Writes a new thread; its record."""
    answer = _record_of(change, new_session)
    opened = await open_session(runtime, caller, change, identity, event_input="", answer=answer)
    return record_with_times(opened)


def record_with_times(opened: OpenedSession) -> dict[str, Any]:
    """The record of a thread that was started, with its times by the database's clock."""
    created = opened.created.isoformat()
    parts = {
        part: [one | {"created": created} for one in opened.answer[part]]
        for part in ("messages", "goals")
    }
    return opened.answer | {"created": created, **parts}


def _record_of(change: Change, new_session: NewSession) -> dict[str, Any]:
    """The record of a thread that starts, without its times."""
    return {
        "thread_id": change.session_id,
        "org_id": change.org_id,
        "created_by": new_session.created_by,
        "status": change.state,
        "title": change.title,
        "visibility": new_session.visibility,
        "model_profile": new_session.model_profile,
        "flow": new_session.flow,
        "created_from_agent_id": new_session.agent_id,
        "forked_from_thread_id": new_session.forked_from_id,
        "forked_from_message_sequence_num": new_session.forked_from_message,
        "messages": [
            {"role": m.role, "content": m.content, "status": m.status} for m in change.messages
        ],
        "goals": [declared_goal_fields(row) for row in change.goals],
        "continuation_token": Cursor(1, change.message_count).token(),
    }
