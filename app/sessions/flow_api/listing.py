"""The sessions of a user."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import ColumnElement, func, or_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Session
from app.db.paging import newest_page
from app.sessions.flow_api.user_info import Email, Name
from app.sessions.turn.resuming import last_turn_failed
from app.sessions.visibility import select_sessions
from app.wire.messages import WireModel


class UserSessionsRequest(WireModel):
    """Whose sessions to list; those of the caller, where nothing says whose."""

    user: str | None = Field(
        None,
        description="The `email` of a session's `user_info`, or a user's id.",
        max_length=320,
        examples=["ann@example.com"],
    )
    email: Email | None = Field(None, description="The `email` of a session's `user_info`.")
    firstname: Name | None = Field(None, description="And the `firstname`.")
    lastname: Name | None = Field(None, description="And the `lastname`.")
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
    query = select_sessions(caller).where(Session.flow == key, *_of_person(caller, request))
    if request.failed:
        query = query.where(last_turn_failed())
    page, token = await newest_page(
        db, query, Session, limit=request.limit, page_token=request.page_token
    )
    return [_item(session) for session in page], token


def _of_person(caller: Caller, request: UserSessionsRequest) -> Iterator[ColumnElement[bool]]:
    """Conditions that a session is for, or was made by, the person of the request."""
    known: Any = col(Session.user_info)
    email, named = func.lower(known["email"].astext), (request.firstname, request.lastname)
    if request.user is not None or (request.email is None and not any(named)):
        user = request.user or caller.user_id
        yield or_(col(Session.created_by) == user, email == user.lower())
    if request.email is not None:
        yield email == request.email.lower()
    for field, name in zip(("firstname", "lastname"), named, strict=True):
        if name is not None:
            yield known[field].astext == name


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
