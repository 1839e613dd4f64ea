"""Versions of skills: what the model reads, numbered from 1."""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Skill, SkillSubscription, SkillVersion
from app.db.models.columns import NOW
from app.errors import ConflictError
from app.skills.access import check_author, check_editable
from app.skills.record import (
    CreateSkillVersionRequest,
    SkillVersionRecord,
    UpdateSkillVersionRequest,
)
from app.skills.store import find_skill, no_version, save_skill, version_record

# Of one skill: clients read all versions in one answer.
MAX_VERSIONS = 200
MAX_BODIES_BYTES = 4 * 1024 * 1024


async def list_versions(
    db: AsyncSession, caller: Caller, skill_id: str
) -> list[SkillVersionRecord]:
    """All versions of a skill, newest first, or `NotFoundError`."""
    await find_skill(db, caller, skill_id)
    query = select(SkillVersion).where(SkillVersion.skill_id == skill_id)
    versions: Sequence[SkillVersion] = (
        await db.exec(query.order_by(col(SkillVersion.version).desc()))
    ).all()
    return [version_record(version) for version in versions]


async def get_version(
    db: AsyncSession, caller: Caller, skill_id: str, number: int
) -> SkillVersionRecord:
    """One version of a skill, or `NotFoundError`."""
    skill = await find_skill(db, caller, skill_id)
    return version_record(await find_version(db, skill, number))


async def find_version(db: AsyncSession, skill: Skill, number: int) -> SkillVersion:
    """The row of a version of a skill that the caller sees, or `NotFoundError`."""
    version = await db.get(SkillVersion, (skill.id, number))
    if version is None:
        raise no_version(skill, number)
    return version


async def create_version(
    db: AsyncSession, caller: Caller, skill_id: str, request: CreateSkillVersionRequest
) -> SkillVersionRecord:
    """Adds a version, numbered after the latest; no subscription goes over to it.

    Raises:
        ConflictError: the skill has as much text as it may have.
        ForbiddenError: the caller may not edit the skill.
        NotFoundError: there is no such skill.
    """
    skill = await _editable(db, caller, skill_id)
    skill.latest_version += 1
    version = SkillVersion(
        skill_id=skill.id,
        version=skill.latest_version,
        org_id=skill.org_id,
        **request.model_dump(include=set(CreateSkillVersionRequest.model_fields)),
    )
    db.add(version)
    await save_skill(db, caller, skill)
    await _check_room(db, skill)
    return version_record(version)


async def update_version(
    db: AsyncSession, caller: Caller, skill_id: str, number: int, request: UpdateSkillVersionRequest
) -> SkillVersionRecord:
    """Changes what the request names of the text of a version, in place.

    Raises:
        ConflictError: the skill has as much text as it may have.
        ForbiddenError: the caller may not edit the skill.
        NotFoundError: there is no such skill or version.
    """
    skill = await _editable(db, caller, skill_id)
    version = await find_version(db, skill, number)
    changed = {f: new for f, new in request.given().items() if getattr(version, f) != new}
    if changed:
        for field, new in changed.items():
            setattr(version, field, new)
        version.modified = NOW  # type: ignore[assignment] # an SQL expression; read back below
        await save_skill(db, caller, skill)
        await _check_room(db, skill)
        await db.refresh(version, ["modified"])
    return version_record(version)


async def delete_version(db: AsyncSession, caller: Caller, skill_id: str, number: int) -> None:
    """Deletes a version, and the skill with the last one. Who was offered it is offered none then.

    Raises:
        ForbiddenError: the caller may not edit the skill, or not delete it.
        NotFoundError: there is no such skill or version.
    """
    skill = await _editable(db, caller, skill_id)
    version = await find_version(db, skill, number)
    highest = select(func.max(SkillVersion.version)).where(
        SkillVersion.skill_id == skill.id, SkillVersion.version != number
    )
    latest: int | None = (await db.exec(highest)).one()
    if latest is None:
        check_author(caller, skill, "deletes its last version")
        await db.delete(skill)
        await db.flush()
        return
    await db.exec(
        update(SkillSubscription)
        .where(
            col(SkillSubscription.skill_id) == skill.id,
            col(SkillSubscription.ai_version) == number,
        )
        .values(ai_version=None)
    )
    await db.delete(version)
    skill.latest_version = latest
    await save_skill(db, caller, skill)


async def _editable(db: AsyncSession, caller: Caller, skill_id: str) -> Skill:
    """The locked row of a skill that the caller may edit."""
    skill = await find_skill(db, caller, skill_id, lock=True)
    check_editable(caller, skill)
    return skill


async def _check_room(db: AsyncSession, skill: Skill) -> None:
    query = select(
        func.count(), func.coalesce(func.sum(func.octet_length(SkillVersion.body)), 0)
    ).where(SkillVersion.skill_id == skill.id)
    versions, size = (await db.exec(query)).one()
    if versions > MAX_VERSIONS or size > MAX_BODIES_BYTES:
        msg = (
            f"a skill has at most {MAX_VERSIONS} versions, and their bodies at most"
            f" {MAX_BODIES_BYTES} bytes together"
        )
        raise ConflictError(
            f"Delete versions of skill {skill.name!r} first: {msg}.",
            errors=[{"loc": ["body"], "msg": msg}],
        )
