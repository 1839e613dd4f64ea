"""Following a thread: its record, and what came since a cursor, waited for where asked."""

from typing import Any

from app.access.caller import Caller
from app.sessions.runtime import Runtime
from app.sessions.store.views import View
from app.sessions.visibility import check_usable
from app.threads.dialogue import Cursor, DialogueReader, News
from app.threads.record import thread_fields


async def read_thread(
    runtime: Runtime, caller: Caller, thread_id: str, *, load_messages: bool
) -> dict[str, Any]:
    """A thread's record; its continuation token leads on from the messages that are in it.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is private, and somebody else's.
    """
    view = await _readable(runtime, caller, thread_id)
    news = News(Cursor())
    if load_messages:
        news = await DialogueReader(runtime, view).news(Cursor())
    return thread_fields(view.session) | {
        "messages": [news.messages[idx] for idx in sorted(news.messages)],
        "continuation_token": news.cursor.token(),
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
        view = await _readable(runtime, caller, thread_id)
        news = await DialogueReader(runtime, view).news(cursor)
        latest[:] = [_delta(view, news)]
        return None if news.is_empty else True

    if not seconds:
        await check()
    else:
        await runtime.wakeups.until(thread_id, check, seconds)
    return latest[0]


def _delta(view: View, news: News) -> dict[str, Any]:
    return {
        "messages_by_idx": {str(idx): message for idx, message in news.messages.items()},
        "continuation_token": news.cursor.token(),
        "reset_from_message_sequence_num": news.reset,
        "status": view.session.state if news.moved else None,
        "title": view.session.title if news.moved else None,
        "activity": None,
    }


async def _readable(runtime: Runtime, caller: Caller, thread_id: str) -> View:
    view = await runtime.store.view(caller.org_id, thread_id)
    check_usable(caller, view.session)
    return view
