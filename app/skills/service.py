"""Skills: create, find, list, change, delete, and read the text that a model is given."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.db.models import Skill, SkillAccessibility, SkillSubscription, SkillVersion
from app.enums import Quota
from app.errors import BadRequestError, FieldError, NotFoundError
from app.kit.ids import new_id
from app.skills.access import check_author, own_private_first, visible_to
from app.skills.record import (
    MAX_TAGS,
    CreateSkillRequest,
    SkillRecord,
    UpdateSkillMetadataRequest,
)
from app.skills.store import (
    add_skill,
    change_skill,
    find_skill,
    no_skill,
    no_version,
    skill_record,
)

MAX_OFFERED = 100  # to a model at once: each is a line of its tool's description


@dataclass(frozen=True, slots=True)
class OfferedSkill:
    """A version of a skill as a model is offered it."""

    skill_id: str
    version: int
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class SkillText(OfferedSkill):
    """A version of a skill with what the model reads when it loads it."""

    body: str
    relevant_topics: list[str]


async def create_skill(
    db: AsyncSession,
    caller: Caller,
    request: CreateSkillRequest,
    *,
    meta: dict[str, Any] | None = None,
) -> SkillRecord:
    """Saves a new skill with its version 1, which the author's models are offered.

    Args:
        db: the transaction.
        caller: the author.
        request: what the skill is.
        meta: what only its manifest says of it.

    Raises:
        ConflictError: the name is taken, or the org has as many skills as it may have.
    """
    caller.need(Quota.SKILLS, Quota.STORED_BYTES)
    now: Any = func.statement_timestamp()  # one moment, in both columns
    skill = Skill(
        id=new_id("sk"),
        org_id=caller.org_id,
        name=request.name,
        accessibility=request.accessibility,
        tags=list(dict.fromkeys(request.tags)),
        meta=meta,
        created=now,
        created_by=caller.user_id,
        modified=now,
        modified_by=caller.user_id,
    )
    await add_skill(db, skill)
    version = SkillVersion(
        skill_id=skill.id,
        version=skill.latest_version,
        org_id=skill.org_id,
        description=request.description,
        body=request.body,
        relevant_topics=request.relevant_topics,
    )
    subscription = SkillSubscription(
        user_id=caller.user_id,
        skill_id=skill.id,
        org_id=skill.org_id,
        ai_version=skill.latest_version,
    )
    db.add_all([version, subscription])
    await db.flush()
    return skill_record(skill)


async def get_skill(db: AsyncSession, caller: Caller, skill_id: str) -> SkillRecord:
    """Finds a skill by id, or raises `NotFoundError`."""
    return skill_record(await find_skill(db, caller, skill_id))


async def get_skill_by_name(db: AsyncSession, caller: Caller, name: str) -> SkillRecord:
    """Finds a skill by name, the caller's own private one first, or raises `NotFoundError`."""
    query = select(Skill).where(visible_to(caller), Skill.name == name)
    skill = (await db.exec(query.order_by(own_private_first()).limit(1))).one_or_none()
    if skill is None:
        raise NotFoundError(f"There is no skill named {name!r}.")
    return skill_record(skill)


async def list_tags(db: AsyncSession, caller: Caller) -> list[str]:
    """The tags of all skills that the caller sees, each once, in order."""
    tag = func.jsonb_array_elements_text(Skill.tags).label("tag")
    return sorted(await db.exec(select(tag).where(visible_to(caller)).distinct()))


async def update_skill(
    db: AsyncSession, caller: Caller, skill_id: str, request: UpdateSkillMetadataRequest
) -> SkillRecord:
    """Changes what the request names.

    Raises:
        BadRequestError: it would have too many tags.
        ConflictError: the name is taken.
        ForbiddenError: the caller may not change that.
        NotFoundError: there is no such skill.
    """
    skill = await find_skill(db, caller, skill_id, lock=True)
    changes = request.given()
    put, remove = changes.pop("put_tags", []), changes.pop("remove_tags", [])
    changes["tags"] = [tag for tag in dict.fromkeys([*skill.tags, *put]) if tag not in remove]
    if len(changes["tags"]) > MAX_TAGS:
        msg = f"a skill has at most {MAX_TAGS} tags"
        raise BadRequestError(f"put_tags: {msg}.", errors=[{"loc": ["put_tags"], "msg": msg}])
    await change_skill(db, caller, skill, changes)
    return skill_record(skill)


async def delete_skill(db: AsyncSession, caller: Caller, skill_id: str) -> None:
    """Deletes a skill with its versions and subscriptions.

    Raises:
        ForbiddenError: the caller is not the author.
        NotFoundError: there is no such skill.
    """
    skill = await find_skill(db, caller, skill_id, lock=True)
    check_author(caller, skill, "deletes it")
    await db.delete(skill)
    await db.flush()


async def resolve_versions(
    db: AsyncSession, caller: Caller, references: Sequence[tuple[str, int | None]]
) -> list[SkillText]:
    """The text of skills that the caller sees, in the order in which they are named.

    Args:
        db: the transaction.
        caller: who asks; needs no subscription.
        references: the id of each, and a version; None for the latest.

    Raises:
        NotFoundError: names all that are missing; each place begins with the index in `references`.
    """
    ids = {skill_id for skill_id, _ in references}
    rows = await db.exec(select(Skill).where(visible_to(caller), col(Skill.id).in_(ids)))
    skills = {skill.id: skill for skill in rows}
    keys = {
        (skill_id, version or skills[skill_id].latest_version)
        for skill_id, version in references
        if skill_id in skills
    }
    key = tuple_(col(SkillVersion.skill_id), col(SkillVersion.version))
    found = await db.exec(select(SkillVersion).where(key.in_(keys)))
    versions = {(version.skill_id, version.version): version for version in found}
    faults = list(_missing(references, skills, versions))
    if faults:
        raise NotFoundError(" ".join(fault["msg"] for fault in faults[:3]), errors=faults)
    return [
        _text(skills[skill_id], versions[skill_id, version or skills[skill_id].latest_version])
        for skill_id, version in references
    ]


async def subscribed_versions(db: AsyncSession, caller: Caller) -> list[OfferedSkill]:
    """The skills that the caller's subscriptions offer to a model, by name.

    Of two of one name, the caller's own private one; of too many, those that were subscribed last.
    """
    query = (
        select(Skill, SkillVersion.version, SkillVersion.description)
        .join(SkillSubscription, col(SkillSubscription.skill_id) == col(Skill.id))
        .join(
            SkillVersion,
            and_(
                col(SkillVersion.skill_id) == col(Skill.id),
                col(SkillVersion.version) == col(SkillSubscription.ai_version),
            ),
        )
        .where(visible_to(caller), SkillSubscription.user_id == caller.user_id)
        .order_by(col(SkillSubscription.subscribed).desc(), col(Skill.id).desc())
    )
    offered: dict[str, OfferedSkill] = {}
    for skill, version, description in await db.exec(query):
        if skill.name not in offered or skill.accessibility is SkillAccessibility.PRIVATE:
            offered[skill.name] = OfferedSkill(skill.id, version, skill.name, description)
    return sorted(list(offered.values())[:MAX_OFFERED], key=lambda one: one.name)


def _missing(
    references: Sequence[tuple[str, int | None]],
    skills: Mapping[str, Skill],
    versions: Collection[tuple[str, int]],
) -> Iterator[FieldError]:
    for index, (skill_id, version) in enumerate(references):
        if skill_id not in skills:
            yield {"loc": [index, "skill_id"], "msg": str(no_skill(skill_id))}
        elif version is not None and (skill_id, version) not in versions:
            yield {"loc": [index, "version"], "msg": str(no_version(skills[skill_id], version))}


def _text(skill: Skill, version: SkillVersion) -> SkillText:
    return SkillText(
        skill_id=skill.id,
        version=version.version,
        name=skill.name,
        description=version.description,
        body=version.body,
        relevant_topics=version.relevant_topics,
    )
