"""Feedback: what a user thinks of an answer."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, model_validator
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Feedback, Message, Session
from app.db.models.columns import NOW
from app.enums import MessageRole
from app.errors import BadRequestError, NotFoundError
from app.kit.ids import new_id
from app.threads.sharing import find_usable
from app.wire.messages import WireModel

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


async def submit_feedback(
    db: AsyncSession, caller: Caller, thread_id: str, idx: int, request: SubmitFeedbackRequest
) -> UserFeedbackRecord:
    """Rates an assistant message; rating it again replaces the rating of before.

    Raises:
        NotFoundError: there is no such thread, or no such message in it.
        BadRequestError: the message is not the assistant's.
    """
    thread = await find_usable(db, caller, thread_id)
    _check_rated(thread, await db.get(Message, (thread_id, idx)), idx)
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


def _check_rated(thread: Session, message: Message | None, idx: int) -> None:
    if message is None:
        if thread.invocation_id is not None and idx == thread.message_count:
            raise BadRequestError("The message is still being generated; rate it when it is done.")
        raise NotFoundError(f"Thread {thread.id!r} has no message {idx}.")
    if message.role is not MessageRole.ASSISTANT:
        raise BadRequestError("Only messages of the assistant can be rated.")
