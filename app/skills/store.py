"""Rows of skills: found for a caller, changed under their lock, shown as records."""

from typing import Any

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Skill, SkillAccessibility, SkillSubscription, SkillVersion
from app.db.models.columns import NOW
from app.errors import ConflictError, NotFoundError
from app.skills.access import check_author, check_editable, visible_to
from app.skills.record import SkillRecord, SkillSubscriptionRecord, SkillVersionRecord

MAX_SKILLS = 1_000  # of an org


async def find_skill(
    db: AsyncSession, caller: Caller, skill_id: str, *, lock: bool = False, share: bool = False
) -> Skill:
    """The row of a skill that the caller sees, or `NotFoundError`.

    Args:
        db: the transaction.
        caller: who asks.
        skill_id: which skill.
        lock: whether nobody else may change it, or what belongs to it, in the meantime.
        share: whether others may hold such a lock too.
    """
    query = select(Skill).where(visible_to(caller), Skill.id == skill_id)
    found = await db.exec(query.with_for_update(read=share) if lock else query)
    skill = found.one_or_none()
    if skill is None:
        raise no_skill(skill_id)
    return skill


async def add_skill(db: AsyncSession, skill: Skill) -> None:
    """Inserts a skill.

    Raises:
        ConflictError: the name is taken, or the org has as many skills as it may have.
    """
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"{skill.org_id}/skills", 0))
    (await db.exec(select(lock))).all()
    number = select(func.count()).select_from(Skill).where(Skill.org_id == skill.org_id)
    if (await db.exec(number)).one() >= MAX_SKILLS:
        msg = f"an org has at most {MAX_SKILLS} skills"
        raise ConflictError(f"There is no room for it: {msg}.", errors=[{"loc": [], "msg": msg}])
    db.add(skill)
    await _flush(db, skill.name)


async def change_skill(
    db: AsyncSession, caller: Caller, skill: Skill, changes: dict[str, Any]
) -> None:
    """Sets columns of a skill whose row is locked; what a column holds already is no change.

    Raises:
        ConflictError: the name is taken.
        ForbiddenError: the caller may not change that.
    """
    check_editable(caller, skill)
    changed = {field: new for field, new in changes.items() if getattr(skill, field) != new}
    if not changed:
        return
    if "accessibility" in changed:
        check_author(caller, skill, "says who may use it")
    for field, new in changed.items():
        setattr(skill, field, new)
    await save_skill(db, caller, skill)
    if changed.get("accessibility") is SkillAccessibility.PRIVATE:
        await db.exec(
            delete(SkillSubscription).where(
                col(SkillSubscription.skill_id) == skill.id,
                col(SkillSubscription.user_id) != skill.created_by,
            )
        )


async def save_skill(db: AsyncSession, caller: Caller, skill: Skill) -> None:
    """Writes a skill whose row is locked, with who changed it or one of its versions, and when.

    Raises:
        ConflictError: the name is taken.
    """
    skill.revision += 1
    skill.modified = NOW  # type: ignore[assignment] # an SQL expression; read back below
    skill.modified_by = caller.user_id
    await _flush(db, skill.name)
    await db.refresh(skill, ["modified"])


async def _flush(db: AsyncSession, name: str) -> None:
    try:
        await db.flush()
    except IntegrityError as error:
        if "uq_skill_" not in str(error.orig):
            raise
        msg = f"there is a skill named {name!r} already"
        raise ConflictError(
            f"{msg.capitalize()}.", errors=[{"loc": ["name"], "msg": msg}]
        ) from None


def no_skill(skill_id: str) -> NotFoundError:
    """The error of a skill that is not there, or that the caller does not see."""
    return NotFoundError(f"There is no skill {skill_id!r}.")


def no_version(skill: Skill, version: int) -> NotFoundError:
    """The error of a version that a skill does not have."""
    return NotFoundError(f"Skill {skill.name!r} has no version {version}.")


def skill_record(skill: Skill) -> SkillRecord:
    """A skill as clients get it."""
    return SkillRecord(
        skill_id=skill.id,
        org_id=skill.org_id,
        accessibility=skill.accessibility,
        name=skill.name,
        tags=skill.tags,
        created=skill.created,
        created_by=skill.created_by,
        modified=skill.modified,
    )


def version_record(version: SkillVersion) -> SkillVersionRecord:
    """A version as clients get it."""
    fields = {field: getattr(version, field) for field in SkillVersionRecord.model_fields}
    return SkillVersionRecord(**fields)


def subscription_record(subscription: SkillSubscription) -> SkillSubscriptionRecord:
    """A subscription as clients get it."""
    fields = {field: getattr(subscription, field) for field in SkillSubscriptionRecord.model_fields}
    return SkillSubscriptionRecord(**fields)
