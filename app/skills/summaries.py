"""Skills with their latest version and the caller's subscription: alone, and in pages."""

from sqlalchemy import ColumnElement, and_, not_, or_, true
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select

from app.access.caller import Caller
from app.db.models import Skill, SkillSubscription, SkillVersion
from app.db.paging import newest_page
from app.skills.access import visible_to
from app.skills.record import SkillListScope, SkillSummary
from app.skills.store import no_skill, skill_record, subscription_record, version_record


async def get_summary(db: AsyncSession, caller: Caller, skill_id: str) -> SkillSummary:
    """A skill with its latest version and the caller's subscription, or `NotFoundError`."""
    found = (await db.exec(_summaries(caller).where(Skill.id == skill_id))).one_or_none()
    if found is None:
        raise no_skill(skill_id)
    return _summary(*found)


async def list_skills(
    db: AsyncSession,
    caller: Caller,
    scope: SkillListScope | None,
    *,
    limit: int,
    page_token: str | None = None,
) -> tuple[list[SkillSummary], str | None]:
    """One page of the skills that the caller sees, newest first, and the token of the next page.

    Args:
        db: the transaction.
        caller: who asks.
        scope: which part of them; None for all.
        limit: most items.
        page_token: of the page.

    Raises:
        PageTokenError: the token is none of ours.
    """
    query = _summaries(caller).where(_in_scope(caller, scope))
    page, token = await newest_page(db, query, Skill, limit=limit, page_token=page_token)
    return [_summary(*row) for row in page], token


def _summaries(caller: Caller) -> Select[Skill, SkillVersion, SkillSubscription]:
    latest = and_(
        col(SkillVersion.skill_id) == col(Skill.id),
        col(SkillVersion.version) == col(Skill.latest_version),
    )
    own = and_(
        col(SkillSubscription.skill_id) == col(Skill.id),
        col(SkillSubscription.user_id) == caller.user_id,
    )
    return (
        select(Skill, SkillVersion, SkillSubscription)
        .join(SkillVersion, latest)
        .outerjoin(SkillSubscription, own)
        .where(visible_to(caller))
    )


def _summary(
    skill: Skill, version: SkillVersion, subscription: SkillSubscription | None
) -> SkillSummary:
    return SkillSummary(
        skill=skill_record(skill),
        latest_version=version_record(version),
        subscription=subscription_record(subscription) if subscription else None,
    )


def _in_scope(caller: Caller, scope: SkillListScope | None) -> ColumnElement[bool]:
    """The conditions of a scope, joined to `_summaries`: a subscription there is the caller's."""
    authored = col(Skill.created_by) == caller.user_id
    match scope:
        case SkillListScope.PERSONAL:
            return or_(authored, col(SkillSubscription.user_id).is_not(None))
        case SkillListScope.ORG:
            return not_(authored)
        case None:
            return true()
