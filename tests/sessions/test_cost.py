"""What costs nothing, what keeps up, and by whose clock a step is due."""

import asyncio
import time

import httpx
import pytest
from redis.asyncio import Redis

from app.db.engine import Database
from app.kit.redis import open_redis
from app.queue.wakeups import Wakeups
from app.settings import Settings
from app.worker import serving
from tests.support.threads import answered, start

_WAITS = 2_000
_SESSIONS = 1_000

# As many copies of the rows of the only session.
_COPIES = """
INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('{key}', 'copy' || n))).*
FROM {table} t, generate_series(1, {count}) n"""


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no redis"])
async def test_open_waits_cost_nothing_while_nothing_happens(
    settings: Settings, *, with_redis: bool
) -> None:
    looks: list[int] = []
    checks = 0

    async def changed(ages: dict[str, float]) -> set[str]:
        looks.append(len(ages))
        return set()

    async def check() -> None:
        nonlocal checks
        checks += 1

    url = settings.redis_url if with_redis else "redis://127.0.0.1:1/0"
    async with (
        open_redis(url, settings.redis_namespace) as redis,
        Wakeups.open(redis, settings.redis_namespace, changed) as wakeups,
    ):
        await asyncio.sleep(0.3)  # until it hears, or knows that it does not
        looks.clear()
        await asyncio.gather(*(wakeups.until(f"s{n}", check, 1.6) for n in range(_WAITS)))

    assert checks <= 2 * _WAITS  # as it begins, and as it ends
    if with_redis:
        assert looks == []
    else:
        # Twice a second, one query for all that are open.
        assert len(looks) <= 4
        assert max(looks) == _WAITS


async def test_expiry_keeps_up_with_a_hundred_sessions_a_second(
    client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    settings.session.expire_sweep_seconds = 0.1
    async with serving(settings):
        await answered(client, "Hi")
    for table, key in (
        ("session", "id"),
        ("transition", "session_id"),
        ("message", "session_id"),
    ):
        await database.pool.execute(_COPIES.format(table=table, key=key, count=_SESSIONS))
    await database.pool.execute("UPDATE session SET expires_at = now() - interval '1 second'")

    async with serving(settings), asyncio.timeout(_SESSIONS / 100):
        while await database.pool.fetchval("SELECT count(*) FROM session"):  # noqa: ASYNC110 - rows of others
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("fast", [3600.0, 0.3])
async def test_a_step_is_due_by_the_clocks_of_redis_and_postgresql(
    *,
    client: httpx.AsyncClient,
    database: Database,
    redis: Redis,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    fast: float,
) -> None:
    """The API's host may be fast: its time is in nothing that says when a step is due."""
    real, real_ns = time.time, time.time_ns
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: real() + fast)
        clock.setattr(time, "time_ns", lambda: real_ns() + int(fast * 1e9))
        await start(client, "Hi")

    org_id = await database.pool.fetchval("SELECT id FROM org")
    ((_, due),) = await redis.zrange(
        f"{settings.redis_namespace}:queue:default:of:{org_id}", 0, -1, withscores=True
    )
    seconds, micros = await redis.time()
    assert due <= seconds * 1000 + micros / 1000
    assert await database.pool.fetchval("SELECT run_after <= clock_timestamp() FROM step")
