"""Who may use a session, and whether it still exists: one rule, in the form that each reader needs.

A session exists until its `expires_at`. Its creator and admins may use it; all others of its org
only where its visibility is `org`. Nothing else reads those two columns to decide anything:
`tests/sessions/test_visibility.py` looks.
"""

from typing import Any, Protocol, cast

from sqlalchemy import ColumnElement, and_, not_, or_, true
from sqlalchemy.orm import defer
from sqlalchemy.orm.interfaces import ORMOption
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from app.access.caller import Caller, KeyScope
from app.db.models import Session
from app.db.models.columns import NOW
from app.enums import ThreadVisibility
from app.errors import ForbiddenError

# The rule for raw SQL, where `s` is the session.
EXPIRY_SQL = "s.expires_at"
EXPIRED_SQL = f"{EXPIRY_SQL} <= clock_timestamp()"
NOT_EXPIRED_SQL = "(s.expires_at IS NULL OR s.expires_at > clock_timestamp())"
# What a step of a session started, `c`, is over no later than the session.
OUTLIVES_SQL = f"(c.expires_at IS NULL OR c.expires_at > {EXPIRY_SQL})"


class Owned(Protocol):
    """What of a session says who may do what with it."""

    @property
    def visibility(self) -> ThreadVisibility: ...

    @property
    def created_by(self) -> str: ...


def check_usable(caller: Caller, session: Owned) -> None:
    """Raises `ForbiddenError` for a private session of somebody else in the org."""
    if session.visibility is ThreadVisibility.ORG or KeyScope.ADMIN in caller.scopes:
        return
    if session.created_by != caller.user_id:
        raise ForbiddenError("This session is private; only who started it may use it.")


def check_creator(caller: Caller, session: Owned) -> None:
    """Raises `ForbiddenError` for a session that somebody else started, whatever its visibility."""
    if session.created_by != caller.user_id:
        raise ForbiddenError("Only who started a thread may change who reads it.")


def check_deletable(caller: Caller, session: Owned) -> None:
    """Raises `ForbiddenError` for a session that somebody else started, but to admins."""
    if session.created_by != caller.user_id and KeyScope.ADMIN not in caller.scopes:
        raise ForbiddenError(
            "Somebody else started this session; deleting it needs an API key with scope 'admin'."
        )


def usable_by(caller: Caller) -> ColumnElement[bool]:
    """The condition that the caller may use a session of the caller's org."""
    if KeyScope.ADMIN in caller.scopes:
        return true()
    return or_(
        col(Session.visibility) == ThreadVisibility.ORG, col(Session.created_by) == caller.user_id
    )


def usable_parts(caller: Caller) -> list[ColumnElement[bool]]:
    """The same as conditions of which one holds at most; each has an index, newest first."""
    if KeyScope.ADMIN in caller.scopes:
        return [true()]
    own = col(Session.created_by) == caller.user_id
    return [own, and_(col(Session.visibility) == ThreadVisibility.ORG, not_(own))]


def not_expired() -> ColumnElement[bool]:
    """The condition that a session still exists: it may be over before the sweeper deletes it."""
    return or_(col(Session.expires_at).is_(None), col(Session.expires_at) > NOW)


def existing(caller: Caller) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The conditions that a session exists in the caller's org, whoever may use it."""
    return col(Session.org_id) == caller.org_id, not_expired()


def select_sessions(caller: Caller) -> SelectOfScalar[Session]:
    """All sessions that exist for the caller."""
    sessions = select(Session).options(without_model())
    return sessions.where(*existing(caller), usable_by(caller))


def without_model() -> ORMOption:
    """What a query of sessions leaves out: lists do not show models, which may be large."""
    return defer(cast(Any, Session.model), raiseload=True)
