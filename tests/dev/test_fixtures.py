"""The fixtures that other tests stand on: a database and keys of one's own."""

import pytest
from redis.asyncio import Redis
from sqlmodel import select

from app.db.engine import Database
from app.db.models import Org
from app.settings import Settings


@pytest.mark.parametrize("run", [1, 2])
async def test_a_test_sees_only_its_own_rows(database: Database, run: int) -> None:
    async with database.transaction() as db:
        assert (await db.exec(select(Org))).all() == []
        db.add(Org(id=f"org_{run}", name="same name"))
    async with database.transaction() as db:
        assert [org.id for org in await db.exec(select(Org))] == [f"org_{run}"]


@pytest.mark.parametrize("run", [1, 2])
async def test_a_test_sees_only_its_own_keys(redis: Redis, settings: Settings, run: int) -> None:
    assert [key async for key in redis.scan_iter(f"{settings.redis_namespace}:*")] == []
    await redis.set(f"{settings.redis_namespace}:key", run)


def test_settings_need_no_event_loop(settings: Settings) -> None:
    assert settings.dev
    assert settings.database_url.rpartition("/")[2].startswith("test_")
