"""Keys, with their orgs and users, in the database."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.access.caller import KeyScope
from app.access.service import CreatedKey, create_key, list_keys, revoke_key
from app.db.engine import Database
from app.errors import BadRequestError
from app.settings import Settings


async def make(database: Database, settings: Settings, **changes: Any) -> CreatedKey:
    arguments: dict[str, Any] = {"org": "Acme", "user": "ann@acme.example", **changes}
    async with database.transaction() as db:
        return await create_key(db, settings, **arguments)


async def test_the_first_key_makes_org_and_user_and_the_next_finds_them(
    database: Database, settings: Settings
) -> None:
    first = await make(database, settings)
    second = await make(database, settings)
    colleague = await make(database, settings, user="bob@acme.example")

    assert (first.org_id, first.user_id) == (second.org_id, second.user_id)
    assert first.key_id != second.key_id
    assert first.api_key != second.api_key
    assert colleague.org_id == first.org_id
    assert colleague.user_id != first.user_id


async def test_one_address_in_two_orgs_is_two_users(database: Database, settings: Settings) -> None:
    here = await make(database, settings)
    there = await make(database, settings, org="Other")

    assert here.user_id != there.user_id


async def test_many_first_keys_at_once_make_one_org(database: Database, settings: Settings) -> None:
    created = await asyncio.gather(*(make(database, settings) for _ in range(8)))

    assert len({key.org_id for key in created}) == 1
    assert len({key.user_id for key in created}) == 1
    assert len({key.key_id for key in created}) == 8


async def test_the_key_itself_is_not_stored_and_not_shown(
    database: Database, settings: Settings
) -> None:
    created = await make(database, settings, description="laptop")

    row = await database.pool.fetchval("SELECT row_to_json(k)::text FROM api_key k")
    async with database.transaction() as db:
        [view] = await list_keys(db)
    assert created.api_key[30:] not in row
    assert created.api_key not in repr(created) + repr(view)


async def test_keys_are_listed_by_org_newest_first(database: Database, settings: Settings) -> None:
    old = await make(database, settings, scopes=[KeyScope.WRITE, KeyScope.READ, KeyScope.READ])
    new = await make(database, settings)
    other = await make(database, settings, org="Other")

    async with database.transaction() as db:
        listed = await list_keys(db, org="Acme")
        everywhere = await list_keys(db)

    assert [view.key_id for view in listed] == [new.key_id, old.key_id]
    assert [view.key_id for view in everywhere] == [other.key_id, new.key_id, old.key_id]
    assert listed[1].scopes == ["read", "write"]
    assert (listed[1].org, listed[1].user) == ("Acme", "ann@acme.example")


async def test_a_key_is_revoked_once(database: Database, settings: Settings) -> None:
    created = await make(database, settings)

    async with database.transaction() as db:
        assert await revoke_key(db, created.key_id)
        assert not await revoke_key(db, created.key_id)
        assert not await revoke_key(db, "key_unknown")
        [view] = await list_keys(db)
    assert view.revoked_at is not None


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"org": ""}, "org"),
        ({"org": " Acme"}, "org"),
        ({"org": "A\x00"}, "org"),
        ({"org": "A" * 101}, "org"),
        ({"org": "\ud800"}, "org"),
        ({"user": "ann"}, "user"),
        ({"user": "ann@acme example"}, "user"),
        ({"user": f"{'a' * 250}@x.example"}, "user"),
        ({"scopes": []}, "scopes"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),  # noqa: DTZ001 - the fault
        ({"expires_at": datetime.now(UTC) - timedelta(hours=1)}, "expires_at"),
        ({"description": "\n"}, "description"),
    ],
)
async def test_wrong_arguments_are_named_and_nothing_is_made(
    database: Database, settings: Settings, wrong: dict[str, Any], name: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        await make(database, settings, **wrong)

    assert [error["loc"] for error in caught.value.errors] == [[name]]
    assert await database.pool.fetchval("SELECT count(*) FROM org") == 0
