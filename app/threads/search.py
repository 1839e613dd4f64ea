"""Threads beside their dialogue: lists and searches, visibility, pins and feedback."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from sqlalchemy import ColumnElement, func, or_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Feedback, Message, Pin, Session
from app.db.models.columns import NOW
from app.db.paging import newest_page
from app.errors import BadRequestError, NotFoundError
from app.kit.ids import new_id
from app.sessions.visibility import check_creator, check_usable, existing, usable_by
from app.threads.cursor import Cursor
from app.threads.record import AgentThreadRecord
from app.wire.messages import WireModel
from app.wire.thread_requests import ThreadVisibility

_NEGATIVE = {
    "incorrect",
    "incomplete",
    "tool_failure",
    "refused_valid_request",
    "formatting",
    "slow",
    "unsafe",
}
_POSITIVE = {"correct", "helpful", "good_tool_use"}
_EITHER = "other"


class SearchThreadsRequest(WireModel):
    """Which threads to find; what is left out does not narrow the search."""

    status: str | None = Field(None, description="The state of the thread.", max_length=200)
    agent_id: str | None = Field(None, description="Launched from this agent.", max_length=100)
    created_by: str | None = Field(None, description="Started by this user.", max_length=100)
    text: str | None = Field(
        None, description="In the title or a message, in any case.", min_length=1, max_length=500
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    page_token: str | None = Field(None, max_length=500)


class SubmitFeedbackRequest(WireModel):
    """A rating of one assistant message."""

    sentiment: Literal["positive", "negative"]
    categories: list[str] = Field([], max_length=20)
    notes: str | None = Field(None, max_length=10_000)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fitting = (_POSITIVE if self.sentiment == "positive" else _NEGATIVE) | {_EITHER}
        for category in self.categories:
            if category not in fitting:
                raise ValueError(
                    f"category {category!r} does not go with {self.sentiment} feedback; "
                    f"these do: {', '.join(sorted(fitting))}"
                )
        self.categories = sorted(set(self.categories))
        if self.notes is not None and not self.notes.strip():
            self.notes = None
        if _EITHER in self.categories and self.notes is None:
            raise ValueError("category 'other' needs notes")
        return self


class UserFeedbackRecord(WireModel):
    """Feedback as its author sees it."""

    feedback_id: str
    thread_id: str
    message_sequence_num: int
    org_id: str
    created: datetime
    created_by: str
    modified: datetime
    modified_by: str
    sentiment: Literal["positive", "negative"]
    categories: list[str]
    notes: str | None


async def search_threads(
    db: AsyncSession, caller: Caller, request: SearchThreadsRequest
) -> tuple[list[AgentThreadRecord], str | None]:
    """One page of the threads that the caller may read, newest first, and the next page's token.

    Raises:
        PageTokenError: the token is none of ours.
    """
    pinned = select(Pin.pinned_at).where(
        Pin.session_id == Session.id, Pin.user_id == caller.user_id
    )
    query = select(Session, pinned.scalar_subquery()).where(*_conditions(caller, request))
    page, token = await newest_page(
        db, query, Session, limit=request.limit, page_token=request.page_token
    )
    return [_record(session, pinned_at) for session, pinned_at in page], token


def _conditions(caller: Caller, request: SearchThreadsRequest) -> list[ColumnElement[bool]]:
    found: list[Any] = [*existing(caller), usable_by(caller)]
    if request.status is not None:
        found.append(Session.state == request.status)
    if request.agent_id is not None:
        found.append(Session.agent_id == request.agent_id)
    if request.created_by is not None:
        found.append(Session.created_by == request.created_by)
    if request.text is not None:
        pattern = _contains(request.text)
        blocks = func.jsonb_array_elements(Message.content)
        block = blocks.column_valued("block", joins_implicitly=True)
        in_messages = select(Message.session_id).where(
            Message.session_id == Session.id, block.op("->>")("text").ilike(pattern)
        )
        found.append(or_(col(Session.title).ilike(pattern), in_messages.exists()))
    return found


def _contains(text: str) -> str:
    """The ILIKE pattern of what contains a text; its own wildcards are letters."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _record(session: Session, pinned_at: datetime | None) -> AgentThreadRecord:
    return AgentThreadRecord(
        thread_id=session.id,
        org_id=session.org_id,
        created=session.created,
        created_by=session.created_by,
        status=session.state,
        continuation_token=Cursor().token(),
        title=session.title,
        visibility=ThreadVisibility(session.visibility),
        flow=session.flow,
        created_from_agent_id=session.agent_id,
        forked_from_thread_id=session.forked_from_id,
        forked_from_message_sequence_num=session.forked_from_message,
        pinned_at=pinned_at,
    )


async def set_visibility(
    db: AsyncSession, caller: Caller, thread_id: str, visibility: ThreadVisibility
) -> AgentThreadRecord:
    """Open a thread to the org, or close it again.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: somebody else started it.
    """
    thread = await _find(db, caller, thread_id)
    check_creator(caller, thread)
    thread.visibility = visibility
    return _record(thread, None)


async def set_pinned(db: AsyncSession, caller: Caller, thread_id: str, *, pinned: bool) -> None:
    """Pin a thread for the caller, or unpin it; what is so already stays as it is."""
    await _find_readable(db, caller, thread_id)
    if pinned:
        values = {"session_id": thread_id, "user_id": caller.user_id, "org_id": caller.org_id}
        await db.exec(insert(Pin).values(**values).on_conflict_do_nothing())
    else:
        pin = (col(Pin.session_id) == thread_id, col(Pin.user_id) == caller.user_id)
        await db.exec(delete(Pin).where(*pin))


async def submit_feedback(
    db: AsyncSession, caller: Caller, thread_id: str, idx: int, request: SubmitFeedbackRequest
) -> UserFeedbackRecord:
    """Rate an assistant message; rating it again replaces the rating of before.

    Raises:
        NotFoundError: there is no such thread, or no such message in it.
        BadRequestError: the message is not the assistant's.
    """
    thread = await _find_readable(db, caller, thread_id)
    message = await db.get(Message, (thread_id, idx))
    if message is None:
        if thread.invocation_id is not None and idx == thread.message_count:
            raise BadRequestError("The message is still being generated; rate it when it is done.")
        raise NotFoundError(f"Thread {thread_id!r} has no message {idx}.")
    if message.role != "assistant":
        raise BadRequestError("Only messages of the assistant can be rated.")
    rating = request.model_dump()
    row = {
        "id": new_id("fb"),
        "session_id": thread_id,
        "org_id": caller.org_id,
        "message_idx": idx,
        "created_by": caller.user_id,
        **rating,
    }
    statement = (
        insert(Feedback)
        .values(**row)
        .on_conflict_do_update(
            index_elements=["session_id", "message_idx", "created_by"],
            set_={**rating, "modified": NOW},
        )
        .returning(Feedback)
    )
    feedback = (await db.exec(statement)).scalars().one()
    return UserFeedbackRecord(
        feedback_id=feedback.id,
        thread_id=thread_id,
        message_sequence_num=idx,
        org_id=feedback.org_id,
        created=feedback.created,
        created_by=feedback.created_by,
        modified=feedback.modified,
        modified_by=feedback.created_by,
        sentiment=request.sentiment,
        categories=feedback.categories,
        notes=feedback.notes,
    )


async def _find_readable(db: AsyncSession, caller: Caller, thread_id: str) -> Session:
    thread = await _find(db, caller, thread_id)
    check_usable(caller, thread)
    return thread


async def _find(db: AsyncSession, caller: Caller, thread_id: str) -> Session:
    query = select(Session).where(*existing(caller), Session.id == thread_id)
    thread = (await db.exec(query)).one_or_none()
    if thread is None:
        raise NotFoundError(f"There is no session {thread_id!r}.")
    return thread
