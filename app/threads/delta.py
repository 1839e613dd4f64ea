"""Following a thread: its record, and what came since a cursor, waited for where asked."""

from typing import Any

from app.access.caller import Caller
from app.flows.library.chat import KEY
from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import SessionHead, SessionWithInvocation
from app.sessions.visibility import check_usable
from app.threads.cursor import Cursor
from app.threads.dialogue import DialogueReader, ThreadDelta
from app.threads.record import (
    goal_fields,
    last_output,
    thread_fields,
    thread_status,
    waiting_fields,
)

_READ_ON = "roboto_turn"


async def read_thread(
    runtime: Runtime, caller: Caller, thread_id: str, *, load_messages: bool
) -> dict[str, Any]:
    """A thread's record; its continuation token leads on from the messages that are in it.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is private, and somebody else's.
    """
    view = await _readable(runtime, caller, thread_id)
    delta, goals = ThreadDelta(Cursor()), None
    if load_messages:
        delta = await DialogueReader(runtime, view).changes_since(Cursor())
        goals = None if delta.is_part else view.goals  # they point at messages
    return thread_fields(view.session) | {
        "status": _status(view.session, is_part=delta.is_part),
        **waiting_fields(view),
        "usage": await runtime.usage.of_session(thread_id),
        "messages": [delta.messages[idx] for idx in sorted(delta.messages)],
        "goals": None if goals is None else [goal_fields(goal) for goal in goals],
        "output": last_output(goals or []),
        "continuation_token": delta.cursor.token(),
    }


async def wait_for_delta(
    runtime: Runtime, caller: Caller, thread_id: str, cursor: Cursor, seconds: float
) -> dict[str, Any]:
    """What came since the cursor, held until there is something or the time is up.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is private, and somebody else's.
    """
    latest: list[dict[str, Any]] = []

    async def check() -> bool | None:
        view = await _readable(runtime, caller, thread_id, cursor.next)
        delta = await DialogueReader(runtime, view).changes_since(cursor)
        latest[:] = [_delta(view, delta)]
        return None if delta.is_empty else True

    if not seconds:
        await check()
    else:
        most = runtime.settings.requests.session_waits
        await runtime.wakeups.until(thread_id, check, seconds, most=most)
    return latest[0]


def _delta(view: SessionWithInvocation, delta: ThreadDelta) -> dict[str, Any]:
    session, waiting = view.session, waiting_fields(view)
    is_given = delta.moved or (delta.is_part and session.flow == KEY)
    return {
        "messages_by_idx": {str(idx): message for idx, message in delta.messages.items()},
        "continuation_token": delta.cursor.token(),
        "reset_from_message_sequence_num": delta.reset,
        "status": _status(session, is_part=delta.is_part) if is_given else None,
        "title": session.title if delta.moved else None,
        "activity": waiting["activity"],
        "required_actions": waiting["required_actions"] if delta.moved else None,
        "goals": [goal_fields(goal) for goal in view.goals] if delta.moved else None,
    }


def _status(session: SessionHead, *, is_part: bool) -> str:
    """The status; while there are more messages to read, the one at which clients read on."""
    if is_part and session.flow == KEY:
        return _READ_ON
    return thread_status(session.flow, session.state)


async def _readable(
    runtime: Runtime, caller: Caller, thread_id: str, next_message: int | None = None
) -> SessionWithInvocation:
    view = await runtime.store.view(caller.org_id, thread_id, next_message)
    check_usable(caller, view.session)
    return view
