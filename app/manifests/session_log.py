"""What happened in sessions, for `logs`: their transitions, steps, and what was asked."""

from operator import itemgetter
from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, func, literal_column
from sqlmodel import col, select

from app.access.caller import Caller
from app.db.models import Action, Event, JournalEntry, Session, Step, Transition, User
from app.manifests.context import Context
from app.manifests.journal import Entry
from app.sessions.store.cause import Cause
from app.sessions.store.sql.read_sql import ACTION_IS_TRUE
from app.sessions.visibility import existing, usable_by

# The newest of a session that is deleted are kept.
KEPT_EVENTS = 100
_OK = 200
# What a client sent: its transition's cause names it.
_EVENT_OF_CAUSE = and_(
    col(Event.id) == func.split_part(col(Transition.cause), ":", 2),
    col(Event.session_id) == col(Transition.session_id),
)


async def session_events(
    context: Context, which: ColumnElement[bool], limit: int
) -> list[dict[str, Any]]:
    """The last transitions, steps and actions of those of the caller's sessions `which` selects."""
    return [
        *await _transitions(context, which, limit),
        *await _steps(context, which, limit),
        *await _actions(context, which, limit),
    ]


def kept_log(caller: Caller, session: Session, events: list[dict[str, Any]]) -> JournalEntry:
    """What outlives a session that is deleted: who started it, and what happened in it."""
    events = sorted(events, key=itemgetter("time"))[-KEPT_EVENTS:]
    detail = {
        "operation": f"log of a session of flow {session.flow}, started by {session.created_by}",
        "events": events,
    }
    return Entry(caller, "keep", "Session", session.id, detail).row(_OK)


async def _transitions(
    context: Context, which: ColumnElement[bool], limit: int
) -> list[dict[str, Any]]:
    query = (
        select(Transition, User.email, Event.created_by)
        .join(Session, col(Session.id) == col(Transition.session_id))
        .join(Event, _EVENT_OF_CAUSE, isouter=True)
        .join(User, col(User.id) == col(Event.created_by), isouter=True)
        .where(*existing(context.caller), usable_by(context.caller), which)
        .order_by(col(Transition.created).desc())
        .limit(limit)
    )
    return [
        {
            "time": row.created,
            "type": "event",
            "text": f"{row.event}: {row.source or '(start)'} → {row.target}"
            + (f", by {email or user_id}" if user_id else "")
            + _note(row),
            "status": _status(row),
            "by": row.session_id,
            "key": Cause.parse(row.cause).id,
        }
        for row, email, user_id in await context.db.exec(query)
    ]


def _note(row: Transition) -> str:
    """Why it led nowhere, or to a failure."""
    if row.refusal is not None:
        return f": dropped: {row.refusal}"
    return f": {row.error}" if row.error else ""


def _status(row: Transition) -> str:
    if row.refusal is not None:
        return "dropped"
    return "failed" if row.error else "done"


async def _steps(context: Context, which: ColumnElement[bool], limit: int) -> list[dict[str, Any]]:
    query = (
        select(Step)
        .join(Session, col(Session.id) == col(Step.session_id))
        .where(*existing(context.caller), usable_by(context.caller), which)
        .order_by(col(Step.created).desc())
        .limit(limit)
    )
    return [
        {
            "time": row.finished_at or row.created,
            "type": "step",
            "text": f"{row.kind} {row.path or '(root)'}, attempt {row.attempt}"
            + (f": {row.error}" if row.error else ""),
            "status": row.status,
            "by": row.session_id,
            "key": row.id,
        }
        for row in await context.db.exec(query)
    ]


async def _actions(
    context: Context, which: ColumnElement[bool], limit: int
) -> list[dict[str, Any]]:
    query = (
        select(Action)
        .join(Session, col(Session.id) == col(Action.session_id))
        .where(*existing(context.caller), usable_by(context.caller), which)
        .where(literal_column(ACTION_IS_TRUE, Boolean))
        .order_by(col(Action.created).desc())
        .limit(limit)
    )
    return [
        {
            "time": row.resolved_at or row.created,
            "type": "action",
            "text": f"{row.kind} {row.question or row.name}"
            + (f": by {row.resolved_by}" if row.resolved_by else ""),
            "status": row.status,
            "by": row.session_id,
            "key": row.id,
        }
        for row in await context.db.exec(query)
    ]
