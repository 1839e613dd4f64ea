"""What costs nothing, what keeps up, and by whose clock a step is due."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.db.engine import Database
from app.kit.redis import open_redis
from app.queue.wakeups import Wakeups
from app.sessions.store.sql import expire_sql, message_sql
from app.settings import Settings
from app.worker import serving
from tests.support.threads import answered, start

_WAITS = 2_000
_SESSIONS = 1_000

# As many copies of the rows of the only session.
_COPIES = """
INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('{key}', 'copy' || n))).*
FROM {table} t, generate_series(1, {count}) n"""


_LAST = 999
# $1 index: the only dialogue, which has two messages, goes on to that.
_LONGER = """
INSERT INTO message SELECT (jsonb_populate_record(m, jsonb_build_object('idx', n))).*
FROM message m, generate_series(2, $1::int) n WHERE m.idx = n % 2"""


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


@pytest.mark.parametrize("plan", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("analyzed", ["never", "empty", "full"])
async def test_sessions_that_are_over_are_deleted_by_cheap_statements(
    client: httpx.AsyncClient, database: Database, settings: Settings, plan: str, analyzed: str
) -> None:
    """Many are over at once, and what the server knows of the tables may be of before that."""
    async with serving(settings):
        if analyzed == "empty":
            await answered(client, "Hi")
            await database.pool.execute("DELETE FROM session")
            await database.pool.execute("ANALYZE")
        await answered(client, "Hi")
    for table, key in (("session", "id"), ("message", "session_id")):
        await database.pool.execute(_COPIES.format(table=table, key=key, count=_SESSIONS))
    await database.pool.execute("UPDATE session SET expires_at = now() - interval '1 second'")
    if analyzed == "full":
        await database.pool.execute("ANALYZE")

    deleted = 0
    async with database.pool.acquire() as connection:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        for statement in (*expire_sql.EXPIRE_PARTS, expire_sql.EXPIRE):
            limits = (100, 2_000, 20_000_000)[: 3 if "$2" in statement else 1]
            types = ", ".join(["bigint"] * len(limits))
            await connection.execute(f"PREPARE deletion ({types}) AS {statement}")
            explained = await connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE deletion ({', '.join(map(str, limits))})"
            )
            await connection.execute("DEALLOCATE deletion")
            read = sum(rows_read(node) for node in nodes(explained[0]["Plan"]))
            # At worst each of a hundred looks through a small table, never each of all.
            assert read < _SESSIONS**2, statement
            deleted += explained[0]["Plan"]["Actual Rows"]
        await connection.execute("RESET plan_cache_mode")
    assert deleted >= 200  # the messages of a hundred sessions, and some sessions


async def test_all_sessions_that_are_over_go(
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

    async with serving(settings), asyncio.timeout(60):
        while await database.pool.fetchval("SELECT count(*) FROM session"):  # noqa: ASYNC110 - rows of others
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("plan", ["force_generic_plan", "force_custom_plan"])
async def test_what_lies_further_back_in_a_dialogue_is_not_read(
    client: httpx.AsyncClient, database: Database, settings: Settings, plan: str
) -> None:
    """However the server comes to plan the statements: it reads each message by its key."""
    async with serving(settings):
        thread_id = (await answered(client, "Hi"))["thread_id"]
    async with database.pool.acquire() as connection:
        await connection.execute(_LONGER, _LAST)
        await connection.execute("ANALYZE message")
        await connection.execute(f"SET plan_cache_mode = {plan}")
        for statement, types, read in (
            (message_sql.MESSAGES, "text, bigint, bigint, bigint", f"{_LAST - 1}, 9999, {_LAST}"),
            (message_sql.CONVERSATION, "text, int, int", "2, 9999"),
            (message_sql.DIALOGUE, "text, int, int", "2, 9999"),
        ):
            await connection.execute(f"PREPARE read ({types}) AS {statement}")
            explained = await connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE read ('{thread_id}', {read})"
            )
            await connection.execute("DEALLOCATE read")
            rows = sum(
                rows_read(node)
                for node in nodes(explained[0]["Plan"])
                if node.get("Relation Name") == "message"
            )
            assert 2 <= rows <= 3, json.dumps(explained, indent=1)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan and those below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_read(node: dict[str, Any]) -> float:
    """Those that a part of a plan looked at, as often as it did, whether or not it kept them."""
    removed = ("Rows Removed by Filter", "Rows Removed by Join Filter")
    rows = node["Actual Rows"] + sum(node.get(kind, 0) for kind in removed)
    return float(rows * node["Actual Loops"])


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
