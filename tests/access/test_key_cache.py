"""Keys are remembered for a moment, and forgotten when PostgreSQL says that they changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from app.access.key_cache import CHANNEL, KeyCache
from app.access.service import CreatedKey, create_key, revoke_key
from app.db.engine import Database
from app.settings import Settings

_MUTE = "ALTER TABLE api_key DISABLE TRIGGER api_key_changed"
_REVOKE = "UPDATE api_key SET revoked_at = clock_timestamp()"
_LISTENERS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> ALL($1)"""


@pytest.fixture
async def key(database: Database, settings: Settings) -> CreatedKey:
    async with database.transaction() as db:
        return await create_key(db, settings, org="Acme", user="ann@acme.example")


@pytest.fixture
async def cache(database: Database, settings: Settings) -> AsyncIterator[KeyCache]:
    async with KeyCache.open(database.pool, settings.database_url, keep=30) as cache:
        await _hears(database)
        yield cache


async def _hears(database: Database, but: tuple[int, ...] = ()) -> int:
    """Wait until a cache listens; the process id of its backend."""

    async def pid() -> int | None:
        found: int | None = await database.pool.fetchval(_LISTENERS, list(but))
        return found

    found = await _soon(pid)
    await asyncio.sleep(0.05)  # the backend listens before its client knows
    assert found
    return found


async def _soon(check: Callable[[], Awaitable[int | None]]) -> int | None:
    async with asyncio.timeout(10):
        while True:
            if found := await check():
                return found
            await asyncio.sleep(0.02)


async def _revoked_later(cache: KeyCache, key: CreatedKey) -> None:
    async def gone() -> bool:
        return await cache.find(key.key_id) is None

    await _soon(gone)


async def test_a_key_is_remembered(database: Database, cache: KeyCache, key: CreatedKey) -> None:
    await cache.find(key.key_id)
    await database.pool.execute(_MUTE)
    await database.pool.execute(_REVOKE)

    assert await cache.find(key.key_id)


async def test_a_revoked_key_is_forgotten(
    database: Database, cache: KeyCache, key: CreatedKey
) -> None:
    assert await cache.find(key.key_id)
    async with database.transaction() as db:
        assert await revoke_key(db, key.key_id)

    await _revoked_later(cache, key)


async def test_a_deleted_key_is_forgotten(
    database: Database, cache: KeyCache, key: CreatedKey
) -> None:
    assert await cache.find(key.key_id)
    await database.pool.execute("DELETE FROM api_key")

    await _revoked_later(cache, key)


async def test_a_key_that_is_revoked_while_it_is_read_is_not_remembered(
    database: Database, cache: KeyCache, key: CreatedKey
) -> None:
    # The notification comes for another key: the cache cannot know what the read has seen.
    finding = asyncio.gather(*(cache.find(key.key_id) for _ in range(3)))
    await database.pool.execute("SELECT pg_notify($1, 'key_other')", CHANNEL)
    await finding
    async with database.transaction() as db:
        await revoke_key(db, key.key_id)

    await _revoked_later(cache, key)


async def test_a_key_that_expires_is_never_remembered(
    database: Database, cache: KeyCache, key: CreatedKey
) -> None:
    await database.pool.execute(_MUTE)
    later = "UPDATE api_key SET expires_at = clock_timestamp() + interval '1 hour'"
    await database.pool.execute(later)
    assert await cache.find(key.key_id)
    await database.pool.execute("UPDATE api_key SET expires_at = clock_timestamp()")

    assert await cache.find(key.key_id) is None


async def test_nothing_is_remembered_while_changes_are_not_heard(
    database: Database, cache: KeyCache, key: CreatedKey
) -> None:
    assert await cache.find(key.key_id)
    listener = await _hears(database)
    await database.pool.execute("SELECT pg_terminate_backend($1)", listener)
    await asyncio.sleep(0.2)
    await database.pool.execute(_REVOKE)

    assert await cache.find(key.key_id) is None
    await _hears(database, (listener,))  # and it comes back


async def test_all_is_forgotten_when_its_time_is_up(
    database: Database, settings: Settings, key: CreatedKey
) -> None:
    async with KeyCache.open(database.pool, settings.database_url, keep=0.1) as cache:
        await _hears(database)
        assert await cache.find(key.key_id)
        await database.pool.execute(_MUTE)
        await database.pool.execute(_REVOKE)
        await asyncio.sleep(0.15)

        assert await cache.find(key.key_id) is None
