"""Entities: what typed variables point at."""

import pytest

from app.access.service import create_key
from app.agents.entities import EntityKind, create_entity, find_entities
from app.agents.record import CollectionContentType
from app.db.engine import Database
from app.errors import BadRequestError, ConflictError
from app.settings import Settings


@pytest.fixture
async def org_id(database: Database, settings: Settings) -> str:
    async with database.transaction() as db:
        return (await create_key(db, settings, org="Acme", user="ann@acme.example")).org_id


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [(EntityKind.DATASET, "ds_"), (EntityKind.DEVICE, "dv_"), (EntityKind.COLLECTION, "cl_")],
)
async def test_an_entity_is_found_by_its_id_in_its_org_only(
    database: Database, org_id: str, kind: EntityKind, prefix: str
) -> None:
    async with database.transaction() as db:
        made = await create_entity(db, org_id, kind, "one", properties={"a": 1})

    async with database.transaction() as db:
        found = await find_entities(db, org_id, [made.id, "ds_none"])
        elsewhere = await find_entities(db, "org_other", [made.id])

    assert made.id.startswith(prefix)
    assert list(found) == [made.id]
    assert (found[made.id].kind, found[made.id].properties) == (kind, {"a": 1})
    assert elsewhere == {}


async def test_a_name_is_taken_once_for_each_kind(database: Database, org_id: str) -> None:
    async with database.transaction() as db:
        await create_entity(db, org_id, EntityKind.DATASET, "one")
        await create_entity(db, org_id, EntityKind.DEVICE, "one")

    with pytest.raises(ConflictError, match="a Dataset named 'one'"):
        async with database.transaction() as db:
            await create_entity(db, org_id, EntityKind.DATASET, "one")


async def test_only_a_collection_has_a_content_type(database: Database, org_id: str) -> None:
    with pytest.raises(BadRequestError, match="only a Collection"):
        async with database.transaction() as db:
            await create_entity(
                db, org_id, EntityKind.DEVICE, "x", content_type=CollectionContentType.EVENT
            )
