"""Entities: what typed variables point at; made through manifests, found by their ids."""

import httpx
import pytest

from app.agents.entities import find_entities
from app.db.engine import Database
from tests.support.http import NewKey
from tests.support.manifests import apply_entity, manifest, send


@pytest.mark.parametrize(
    ("kind", "prefix"), [("Dataset", "ds_"), ("Device", "dv_"), ("Collection", "cl_")]
)
async def test_an_entity_is_found_by_its_id_in_its_org_only(
    client: httpx.AsyncClient, new_key: NewKey, database: Database, kind: str, prefix: str
) -> None:
    org_id = (await new_key()).org_id
    entity_id = await apply_entity(client, kind, "one", {"properties": {"a": 1}})

    async with database.transaction() as db:
        found = await find_entities(db, org_id, [entity_id, "ds_none"])
        elsewhere = await find_entities(db, "org_other", [entity_id])

    assert entity_id.startswith(prefix)
    assert list(found) == [entity_id]
    assert (found[entity_id].kind, found[entity_id].properties) == (kind, {"a": 1})
    assert elsewhere == {}


async def test_a_name_is_taken_once_for_each_kind(client: httpx.AsyncClient) -> None:
    dataset = await apply_entity(client, "Dataset", "one")
    device = await apply_entity(client, "Device", "one")

    assert dataset != device
    assert await apply_entity(client, "Dataset", "one", {"properties": {"a": 1}}) == dataset


async def test_only_a_collection_has_a_content_type(client: httpx.AsyncClient) -> None:
    refused = await send(client, "apply", manifest("Device", "x", {"contentType": "event"}))

    assert refused.status_code == 400
    assert [fault["loc"] for fault in refused.json()["errors"]] == [["spec", "contentType"]]
