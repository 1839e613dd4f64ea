"""Sharing: who may read a thread, and who has it pinned."""

from sqlalchemy import ColumnElement, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Pin, Session
from app.enums import ThreadVisibility
from app.errors import NotFoundError
from app.sessions.visibility import check_creator, check_usable, existing
from app.threads.record import AgentThreadRecord
from app.threads.search import thread_record


async def set_visibility(
    db: AsyncSession, caller: Caller, thread_id: str, visibility: ThreadVisibility
) -> AgentThreadRecord:
    """Opens a thread to the org, or closes it again, with those that it called.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: somebody else started it.
    """
    thread = await _find(db, caller, thread_id)
    check_creator(caller, thread)
    thread.visibility = visibility
    await db.exec(update(Session).where(_is_below(thread_id)).values(visibility=visibility))
    return thread_record(thread, None)


async def set_pinned(db: AsyncSession, caller: Caller, thread_id: str, *, pinned: bool) -> None:
    """Pins a thread for the caller, or unpins it; what is so already stays as it is."""
    await find_usable(db, caller, thread_id)
    if pinned:
        values = {"session_id": thread_id, "user_id": caller.user_id, "org_id": caller.org_id}
        await db.exec(insert(Pin).values(**values).on_conflict_do_nothing())
    else:
        pin = (col(Pin.session_id) == thread_id, col(Pin.user_id) == caller.user_id)
        await db.exec(delete(Pin).where(*pin))


async def find_usable(db: AsyncSession, caller: Caller, thread_id: str) -> Session:
    """A thread that the caller may use.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is private, and somebody else's.
    """
    thread = await _find(db, caller, thread_id)
    check_usable(caller, thread)
    return thread


def _is_below(thread_id: str) -> ColumnElement[bool]:
    """The condition that a session was called by a thread, or by one that it called."""
    called = select(Session.id).where(Session.parent_session_id == thread_id)
    below = called.cte("below", recursive=True)
    deeper = select(Session.id).join(below, col(Session.parent_session_id) == below.c.id)
    return col(Session.id).in_(select(below.union_all(deeper).c.id))


async def _find(db: AsyncSession, caller: Caller, thread_id: str) -> Session:
    query = select(Session).where(*existing(caller), Session.id == thread_id)
    thread = (await db.exec(query)).one_or_none()
    if thread is None:
        raise NotFoundError(f"There is no session {thread_id!r}.")
    return thread
