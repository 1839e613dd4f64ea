"""The sessions of a user."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import or_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Session
from app.db.paging import newest_page
from app.sessions.turn.resuming import last_turn_failed
from app.sessions.visibility import select_sessions
from app.wire.messages import WireModel


class UserSessionsRequest(WireModel):
    """Whose sessions to list."""

    user: str | None = Field(
        None,
        description="The `email` of a session's `user_info`, or a user's id; none: the caller.",
        max_length=320,
        examples=["ann@example.com"],
    )
    failed: bool = Field(
        default=False, description="Only those whose last turn failed and can be retried."
    )
    limit: Annotated[int, Field(ge=1, le=200, description="Most items of one page.")] = 50
    page_token: str | None = Field(
        None, max_length=500, description="`next_token` of the page before."
    )


class SessionItem(WireModel):
    """A session in a list."""

    session_id: str
    flow: str
    state: str
    running: bool = Field(description="Whether an invocation runs.")
    error: str | None = Field(None, description="Why the last invocation failed, if it did.")
    created: datetime
    modified: datetime
    created_by: str


async def user_sessions(
    db: AsyncSession, caller: Caller, key: str, request: UserSessionsRequest
) -> tuple[list[SessionItem], str | None]:
    """One page of a user's sessions of a flow, newest first, and the token of the next page.

    Raises:
        PageTokenError: the token is none of ours.
    """
    user = request.user or caller.user_id
    query = select_sessions(caller).where(
        Session.flow == key,
        or_(col(Session.created_by) == user, col(Session.user_info)["email"].astext == user),
    )
    if request.failed:
        query = query.where(last_turn_failed())
    page, token = await newest_page(
        db, query, Session, limit=request.limit, page_token=request.page_token
    )
    return [_item(session) for session in page], token


def _item(session: Session) -> SessionItem:
    return SessionItem(
        session_id=session.id,
        flow=session.flow,
        state=session.state,
        running=session.invocation_id is not None,
        error=session.task_error,
        created=session.created,
        modified=session.modified,
        created_by=session.created_by,
    )
