"""Lists and searches of threads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import ColumnElement, and_, or_, tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Pin, Session
from app.flows.library.chat import KEY
from app.flows.library.chat_machine import ON_THE_WIRE
from app.kit.paging import cut_page, decode_keyset, encode_keyset
from app.sessions.turn.resuming import last_turn_failed
from app.sessions.visibility import existing, without_model
from app.threads.cursor import Cursor
from app.threads.record import AgentThreadRecord, thread_status
from app.threads.text_search import find_text, newest_sessions, places
from app.wire.messages import WireModel


class SearchThreadsRequest(WireModel):
    """Which threads to find; what is left out does not narrow the search."""

    status: str | None = Field(None, description="The state of the thread.", max_length=200)
    agent_id: str | None = Field(None, description="Launched from this agent.", max_length=100)
    created_by: str | None = Field(None, description="Started by this user.", max_length=100)
    text: str | None = Field(
        None, description="In the title or a message, in any case.", min_length=1, max_length=500
    )
    parent_thread_id: str | None = Field(
        None,
        description="Called by this thread, as a tool; without it, those that no thread called.",
        max_length=100,
    )
    failed: bool = Field(
        default=False, description="Only those whose last turn failed and can be retried."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    page_token: str | None = Field(None, max_length=500)


async def search_threads(
    db: AsyncSession, caller: Caller, request: SearchThreadsRequest
) -> tuple[list[AgentThreadRecord], str | None]:
    """One page of the threads that the caller may read, newest first, and the next page's token.

    Raises:
        PageTokenError: the token is none of ours.
    """
    conditions = _conditions(caller, request)
    if request.page_token:
        place = tuple_(col(Session.created), col(Session.id))
        conditions.append(place < decode_keyset(request.page_token))
    if request.text is not None:
        ids, token = await find_text(db, caller, conditions, request.text, request.limit)
    else:
        found = newest_sessions(caller, conditions, request.limit + 1)
        rows = (await db.exec(places(found))).all()
        page, token = cut_page(rows, request.limit, lambda last: encode_keyset(*last))
        ids = [row_id for _, row_id in page]
    return await _records(db, caller, ids), token


async def _records(db: AsyncSession, caller: Caller, ids: Sequence[str]) -> list[AgentThreadRecord]:
    """The records of threads, in the order of their ids."""
    pinned = select(Pin.pinned_at).where(
        Pin.session_id == Session.id, Pin.user_id == caller.user_id
    )
    query = select(Session, pinned.scalar_subquery()).options(without_model())
    rows = (await db.exec(query.where(col(Session.id).in_(ids)))).all()
    found = {session.id: thread_record(session, pinned_at) for session, pinned_at in rows}
    return [found[row_id] for row_id in ids]


def _conditions(caller: Caller, request: SearchThreadsRequest) -> list[ColumnElement[bool]]:
    found: list[Any] = [*existing(caller)]
    found.append(col(Session.parent_session_id).is_not_distinct_from(request.parent_thread_id))
    if request.status is not None:
        found.append(_has_status(request.status))
    if request.agent_id is not None:
        found.append(Session.agent_id == request.agent_id)
    if request.created_by is not None:
        found.append(Session.created_by == request.created_by)
    if request.failed:
        found.append(last_turn_failed())
    return found


def _has_status(status: str) -> ColumnElement[bool]:
    """The condition that a thread shows the status: more than one state may."""
    others = [state for state, shown in ON_THE_WIRE.items() if shown == status]
    same = and_(col(Session.state) == status, col(Session.state).not_in(ON_THE_WIRE))
    chat = col(Session.flow) == KEY
    shown = or_(same, col(Session.state).in_(others))
    return or_(and_(chat, shown), and_(~chat, col(Session.state) == status))


def thread_record(session: Session, pinned_at: datetime | None) -> AgentThreadRecord:
    """The record of a thread in a list, without its messages."""
    return AgentThreadRecord(
        thread_id=session.id,
        org_id=session.org_id,
        created=session.created,
        created_by=session.created_by,
        status=thread_status(session.flow, session.state),
        continuation_token=Cursor().token(),
        title=session.title,
        model_profile=session.model_profile,
        visibility=session.visibility,
        flow=session.flow,
        created_from_agent_id=session.agent_id,
        parent_thread_id=session.parent_session_id,
        forked_from_thread_id=session.forked_from_id,
        forked_from_message_sequence_num=session.forked_from_message,
        pinned_at=pinned_at,
    )
