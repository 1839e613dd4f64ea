"""`/v1/skills`: skills, their versions, and the caller's subscriptions to them."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, status
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.api.deps import Changes, DbDep, ListDb, PageToken, Reader, Writer
from app.api.http.body import max_body
from app.api.http.keyed import KeyedRoute
from app.api.journaled import changes_name
from app.api.schemas import Data, Page
from app.errors import faults_within
from app.skills import service, subscriptions, summaries, versions
from app.skills.record import (
    CreateSkillRequest,
    CreateSkillVersionRequest,
    SetSkillSubscriptionRequest,
    SkillListScope,
    SkillRecord,
    SkillSubscriptionRecord,
    SkillSummary,
    SkillVersionRecord,
    UpdateSkillMetadataRequest,
    UpdateSkillVersionRequest,
    VersionNumber,
)

router = APIRouter(prefix="/v1/skills", tags=["skills"], route_class=KeyedRoute)

_CONTENT = max_body(2_000_000)  # as JSON: a body of 256 KB, and topics

SkillId = Annotated[str, Path(description="Id of a skill.", examples=["sk_01k8zq5d3v"])]
Version = Annotated[VersionNumber, Path(description="Number of a version.", examples=[1])]
Scope = Annotated[
    SkillListScope | None,
    Query(
        description="personal: the caller's own and those subscribed to; org: those of others; "
        "left out: all."
    ),
]
# Smaller than other pages: each item has the text of a version.
SummaryPageSize = Annotated[int, Query(ge=1, le=50, description="Most items of one page.")]


# The domain knows only places inside the body.
_in_body = partial(faults_within, "body")


async def _changed_name(caller: Caller, db: AsyncSession, skill_id: str) -> str:
    """The name of a skill that a request changes."""
    name = (await service.get_skill(db, caller, skill_id)).name
    changes_name(db, name)
    return name


@router.post("/create", status_code=status.HTTP_201_CREATED, openapi_extra=_CONTENT)
async def create(caller: Writer, db: Changes, request: CreateSkillRequest) -> Data[SkillRecord]:
    """Create a skill with its version 1, which the author's models are offered."""
    changes_name(db, request.name)
    with _in_body():
        return Data(data=await service.create_skill(db, caller, request))


@router.get("")
async def list_(
    caller: Reader,
    db: ListDb,
    scope: Scope = None,
    page_token: PageToken = None,
    limit: SummaryPageSize = 20,
) -> Data[Page[SkillSummary]]:
    """The skills that the caller sees, newest first."""
    items, token = await summaries.list_skills(
        db, caller, scope, limit=limit, page_token=page_token
    )
    return Data(data=Page(items=items, next_token=token))


@router.get("/tags")
async def tags(caller: Reader, db: ListDb) -> Data[list[str]]:
    """The tags of all skills that the caller sees."""
    return Data(data=await service.list_tags(db, caller))


@router.get("/name/{skill_name}")
async def get_by_name(
    caller: Reader,
    db: DbDep,
    skill_name: Annotated[str, Path(description="Name of a skill.", examples=["qa-review"])],
) -> Data[SkillRecord]:
    """The skill of that name; of two, the caller's own private one."""
    return Data(data=await service.get_skill_by_name(db, caller, skill_name))


@router.get("/id/{skill_id}")
async def get(caller: Reader, db: DbDep, skill_id: SkillId) -> Data[SkillRecord]:
    """The skill of that id."""
    return Data(data=await service.get_skill(db, caller, skill_id))


@router.put("/id/{skill_id}", openapi_extra=max_body(262_144))
async def update(
    caller: Writer, db: Changes, skill_id: SkillId, request: UpdateSkillMetadataRequest
) -> Data[SkillRecord]:
    """Change what the body names; what it leaves out is kept."""
    before = await _changed_name(caller, db, skill_id)
    with _in_body():
        record = await service.update_skill(db, caller, skill_id, request)
    changes_name(db, record.name, before)
    return Data(data=record)


@router.delete("/id/{skill_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete(caller: Writer, db: Changes, skill_id: SkillId) -> None:
    """Delete a skill with its versions and subscriptions; only its author may."""
    await _changed_name(caller, db, skill_id)
    await service.delete_skill(db, caller, skill_id)


@router.get("/id/{skill_id}/summary")
async def summary(caller: Reader, db: DbDep, skill_id: SkillId) -> Data[SkillSummary]:
    """A skill with its latest version and the caller's subscription."""
    return Data(data=await summaries.get_summary(db, caller, skill_id))


@router.get("/id/{skill_id}/versions")
async def list_versions(
    caller: Reader, db: ListDb, skill_id: SkillId
) -> Data[list[SkillVersionRecord]]:
    """All versions of a skill, newest first."""
    return Data(data=await versions.list_versions(db, caller, skill_id))


@router.post(
    "/id/{skill_id}/versions",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=_CONTENT,
)
async def create_version(
    caller: Writer, db: Changes, skill_id: SkillId, request: CreateSkillVersionRequest
) -> Data[SkillVersionRecord]:
    """Add a version, numbered after the latest; no subscription goes over to it."""
    await _changed_name(caller, db, skill_id)
    with _in_body():
        return Data(data=await versions.create_version(db, caller, skill_id, request))


@router.get("/id/{skill_id}/versions/{version}")
async def get_version(
    caller: Reader, db: DbDep, skill_id: SkillId, version: Version
) -> Data[SkillVersionRecord]:
    """One version of a skill."""
    return Data(data=await versions.get_version(db, caller, skill_id, version))


@router.put("/id/{skill_id}/versions/{version}", openapi_extra=_CONTENT)
async def update_version(
    caller: Writer,
    db: Changes,
    skill_id: SkillId,
    version: Version,
    request: UpdateSkillVersionRequest,
) -> Data[SkillVersionRecord]:
    """Change the text of a version in place; what the body leaves out is kept."""
    await _changed_name(caller, db, skill_id)
    with _in_body():
        return Data(data=await versions.update_version(db, caller, skill_id, version, request))


@router.delete("/id/{skill_id}/versions/{version}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_version(caller: Writer, db: Changes, skill_id: SkillId, version: Version) -> None:
    """Delete a version; with the last one the skill is deleted, which only its author may."""
    await _changed_name(caller, db, skill_id)
    await versions.delete_version(db, caller, skill_id, version)


@router.post("/id/{skill_id}/subscribe")
async def subscribe(
    caller: Writer, db: Changes, skill_id: SkillId
) -> Data[SkillSubscriptionRecord]:
    """Subscribe the caller; a subscription that is there stays as it is."""
    await _changed_name(caller, db, skill_id)
    return Data(data=await subscriptions.subscribe(db, caller, skill_id))


@router.put("/id/{skill_id}/subscribe")
async def set_subscription(
    caller: Writer, db: Changes, skill_id: SkillId, request: SetSkillSubscriptionRequest
) -> Data[SkillSubscriptionRecord]:
    """Set which version the caller's models are offered; subscribes the caller if need be."""
    await _changed_name(caller, db, skill_id)
    with _in_body():
        record = await subscriptions.set_ai_version(db, caller, skill_id, request.ai_version)
    return Data(data=record)


@router.delete("/id/{skill_id}/subscribe", status_code=status.HTTP_204_NO_CONTENT)
async def unsubscribe(caller: Writer, db: Changes, skill_id: SkillId) -> None:
    """End the caller's subscription, if there is one."""
    await _changed_name(caller, db, skill_id)
    await subscriptions.unsubscribe(db, caller, skill_id)
