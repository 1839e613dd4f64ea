"""Subscriptions: whose skills these are, and which version each user's models are offered."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Skill, SkillSubscription, SkillVersion
from app.errors import BadRequestError
from app.skills.record import SkillSubscriptionRecord
from app.skills.store import find_skill, no_version, subscription_record


async def subscribe(db: AsyncSession, caller: Caller, skill_id: str) -> SkillSubscriptionRecord:
    """Subscribes the caller, whose models are offered nothing by it; an old one stays as it is.

    Raises:
        NotFoundError: there is no such skill.
    """
    skill = await _locked(db, caller, skill_id)
    row = _row(caller, skill, None)
    await db.exec(insert(SkillSubscription).values(row).on_conflict_do_nothing())
    return await _record(db, caller, skill)


async def set_ai_version(
    db: AsyncSession, caller: Caller, skill_id: str, ai_version: int | None
) -> SkillSubscriptionRecord:
    """Sets which version the caller's models are offered; subscribes the caller if need be.

    Raises:
        BadRequestError: the skill does not have the version.
        NotFoundError: there is no such skill.
    """
    skill = await _locked(db, caller, skill_id)
    if ai_version is not None and await db.get(SkillVersion, (skill.id, ai_version)) is None:
        msg = no_version(skill, ai_version).detail
        raise BadRequestError(msg, errors=[{"loc": ["ai_version"], "msg": msg}])
    await db.exec(
        insert(SkillSubscription)
        .values(_row(caller, skill, ai_version))
        .on_conflict_do_update(
            index_elements=["user_id", "skill_id"], set_={"ai_version": ai_version}
        )
    )
    return await _record(db, caller, skill)


async def unsubscribe(db: AsyncSession, caller: Caller, skill_id: str) -> None:
    """Ends the caller's subscription, if there is one.

    Raises:
        NotFoundError: there is no such skill.
    """
    skill = await _locked(db, caller, skill_id)
    await db.exec(
        delete(SkillSubscription).where(
            col(SkillSubscription.user_id) == caller.user_id,
            col(SkillSubscription.skill_id) == skill.id,
        )
    )


async def _locked(db: AsyncSession, caller: Caller, skill_id: str) -> Skill:
    """A skill that, until the end of the transaction, keeps its versions and who sees it."""
    return await find_skill(db, caller, skill_id, lock=True, share=True)


def _row(caller: Caller, skill: Skill, ai_version: int | None) -> dict[str, object]:
    return {
        "user_id": caller.user_id,
        "skill_id": skill.id,
        "org_id": skill.org_id,
        "ai_version": ai_version,
    }


async def _record(db: AsyncSession, caller: Caller, skill: Skill) -> SkillSubscriptionRecord:
    found = await db.get_one(SkillSubscription, (caller.user_id, skill.id))
    return subscription_record(found)
