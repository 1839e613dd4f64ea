"""Entities: the datasets, devices and collections that typed variables point at."""

from collections.abc import Iterable
from enum import StrEnum

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.db.models import Entity


class EntityKind(StrEnum):
    """What an entity is; the names are those of the manifests that make them."""

    DATASET = "Dataset"
    DEVICE = "Device"
    COLLECTION = "Collection"


async def find_entities(db: AsyncSession, org_id: str, ids: Iterable[str]) -> dict[str, Entity]:
    """Those of the ids that are entities of the org, by id."""
    ids = list(ids)
    if not ids:
        return {}
    rows = await db.exec(
        select(Entity).where(col(Entity.org_id) == org_id, col(Entity.id).in_(ids))
    )
    return {entity.id: entity for entity in rows}


async def find_named_entities(
    db: AsyncSession, org_id: str, names: Iterable[str]
) -> dict[tuple[str, str], Entity]:
    """Those of the names that are names of entities of the org, by kind and name."""
    names = list(names)
    if not names:
        return {}
    rows = await db.exec(
        select(Entity).where(col(Entity.org_id) == org_id, col(Entity.name).in_(names))
    )
    return {(entity.kind, entity.name): entity for entity in rows}
