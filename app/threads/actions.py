"""Lists of actions: what turns wait for people and clients to do."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, Select, literal, literal_column
from sqlalchemy import select as select_columns
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Action, Agent, Session
from app.db.paging import newest_page
from app.enums import ActionKind, ActionStatus
from app.sessions.store.sql.read_sql import ACTION_IS_TRUE
from app.sessions.visibility import existing, usable_by
from app.wire.actions import action_fields


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions to list; what is None does not narrow the list.

    Attributes:
        agent: id or name of the agent that their sessions were launched from.
        session: id of their session, or of one whose steps started that.
    """

    status: ActionStatus | None = None
    kind: ActionKind | None = None
    agent: str | None = None
    session: str | None = None


async def list_actions(
    db: AsyncSession, caller: Caller, filters: ActionFilter, *, limit: int, page_token: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of the actions of sessions that the caller may use, newest first.

    Raises:
        PageTokenError: the token is none of ours.
    """
    query = select(Action).join(Session, col(Session.id) == col(Action.session_id))
    query = query.where(*existing(caller), usable_by(caller), *_conditions(caller, filters))
    page, token = await newest_page(db, query, Action, limit=limit, page_token=page_token)
    return [action_fields(action) for action in page], token


def _conditions(caller: Caller, filters: ActionFilter) -> list[Any]:
    # The org is what the pages are indexed by.
    found: list[Any] = [Action.org_id == caller.org_id, literal_column(ACTION_IS_TRUE, Boolean)]
    if filters.status is not None:
        found.append(Action.status == filters.status)
    if filters.kind is not None:
        found.append(Action.kind == filters.kind)
    if filters.session is not None:
        found.append(col(Action.session_id).in_(_with_those_below(filters.session)))
    if filters.agent is not None:
        named = or_(col(Agent.id) == filters.agent, col(Agent.name) == filters.agent)
        agents = select(Agent.id).where(Agent.org_id == caller.org_id, named)
        found.append(col(Session.agent_id).in_(agents))
    return found


def _with_those_below(session_id: str) -> Select[tuple[str]]:
    """The ids of a session and of those that its steps started, and theirs."""
    family = select_columns(literal(session_id).label("id")).cte("family", recursive=True)
    above = col(Session.parent_session_id) == family.c.id
    below = select_columns(col(Session.id)).join(family, above)
    return select_columns(family.union_all(below).c.id)
