"""Entities: the datasets, devices and collections that typed variables point at."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.agents.record import CollectionContentType
from app.db.models import Entity
from app.errors import BadRequestError, ConflictError
from app.kit.ids import new_id


class EntityKind(StrEnum):
    """What an entity is."""

    DATASET = "Dataset"
    DEVICE = "Device"
    COLLECTION = "Collection"


_PREFIX = {EntityKind.DATASET: "ds", EntityKind.DEVICE: "dv", EntityKind.COLLECTION: "cl"}


async def create_entity(
    db: AsyncSession,
    org_id: str,
    kind: EntityKind,
    name: str,
    *,
    content_type: CollectionContentType | None = None,
    properties: dict[str, Any] | None = None,
) -> Entity:
    """Add an entity to an org; its id is `ds_…`, `dv_…` or `cl_…` by its kind.

    Raises:
        BadRequestError: a content type for what is not a collection.
        ConflictError: the org has an entity of that kind and name.
    """
    if content_type is not None and kind is not EntityKind.COLLECTION:
        raise BadRequestError(f"A {kind.value} has no content type; only a Collection has.")
    entity = Entity(
        id=new_id(_PREFIX[kind]),
        org_id=org_id,
        kind=kind.value,
        name=name,
        content_type=content_type.value if content_type else None,
        properties=properties or {},
    )
    db.add(entity)
    try:
        await db.flush()
    except IntegrityError as error:
        if "uq_entity" not in str(error.orig):
            raise
        raise ConflictError(f"There is a {kind.value} named {name!r} already.") from None
    return entity


async def find_entities(db: AsyncSession, org_id: str, ids: Iterable[str]) -> dict[str, Entity]:
    """Those of the ids that are entities of the org, by id."""
    wanted = list(ids)
    if not wanted:
        return {}
    rows = await db.exec(
        select(Entity).where(col(Entity.org_id) == org_id, col(Entity.id).in_(wanted))
    )
    return {entity.id: entity for entity in rows}
