"""Health: no key needed, and the answer names what is missing."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.db.engine import Database
from app.settings import Settings
from tests.support.http import Serve


async def worker_lives(settings: Settings, redis: Redis) -> None:
    await redis.set(f"{settings.redis_namespace}:worker:w1", b"", ex=60)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, as long as the test runs."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


async def ask_with(
    api: FastAPI, serve: Serve, settings: Settings, **changes: Any
) -> dict[str, str]:
    """What a service with other settings misses."""
    api.state.settings = settings.model_copy(update=changes)
    async with serve(api) as client:
        answer = await client.get("/health/ready")
        assert (await client.get("/health/live")).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    checks: dict[str, str] = answer.json()["checks"]
    missing = [name for name, state in checks.items() if state != "ok"]
    assert answer.json()["detail"] == f"Not ready; missing: {', '.join(missing)}."
    return checks


async def test_a_process_that_answers_is_live(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_a_process_with_all_it_needs_is_ready(
    anonymous: httpx.AsyncClient, settings: Settings, redis: Redis
) -> None:
    await worker_lives(settings, redis)

    answer = await anonymous.get("/health/ready")

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "checks": {"postgresql": "ok", "redis": "ok", "worker": "ok"}},
    )


async def test_without_a_worker_nothing_is_ready(
    api: FastAPI, serve: Serve, settings: Settings
) -> None:
    checks = await ask_with(api, serve, settings)

    assert checks == {"postgresql": "ok", "redis": "ok", "worker": "missing"}


async def test_a_worker_of_another_installation_does_not_count(
    api: FastAPI, serve: Serve, settings: Settings, redis: Redis
) -> None:
    await redis.set("another-installation:worker:w1", b"", ex=60)

    assert (await ask_with(api, serve, settings))["worker"] == "missing"


async def test_without_redis_the_service_is_degraded(
    api: FastAPI, serve: Serve, settings: Settings, closed_port: int
) -> None:
    url = f"redis://127.0.0.1:{closed_port}/0"
    api.state.settings = settings.model_copy(update={"redis_url": url})
    async with serve(api) as client:
        answer = await client.get("/health/ready")

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "status": "degraded",
            "checks": {"postgresql": "ok", "redis": "missing", "worker": "unknown"},
        },
    )


async def test_without_postgresql_nothing_is_ready(
    api: FastAPI, serve: Serve, settings: Settings, redis: Redis, closed_port: int
) -> None:
    await worker_lives(settings, redis)
    url = f"postgresql://nobody@127.0.0.1:{closed_port}/none"
    checks = await ask_with(api, serve, settings, database_url=url)

    assert checks == {"postgresql": "missing", "redis": "ok", "worker": "ok"}


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("DROP TABLE alembic_version", "not migrated"),
        ("DELETE FROM alembic_version", "not migrated"),
        ("UPDATE alembic_version SET version_num = '0001'", "not migrated"),
        ("UPDATE alembic_version SET version_num = '9999'", "ok"),  # by a newer release
    ],
)
async def test_a_database_that_is_not_migrated(
    *,
    client: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    redis: Redis,
    statement: str,
    state: str,
) -> None:
    await worker_lives(settings, redis)
    await database.pool.execute(statement)

    answer = await client.get("/health/ready")

    assert answer.status_code == (200 if state == "ok" else 503)
    assert answer.json()["checks"] == {"postgresql": state, "redis": "ok", "worker": "ok"}
    if state != "ok":
        assert answer.json()["detail"].endswith("run `statewright migrate`.")


async def test_without_its_database_nothing_is_ready(
    api: FastAPI, serve: Serve, settings: Settings, redis: Redis
) -> None:
    """The server is there, but refuses."""
    url = settings.database_url.rpartition("/")[0] + "/there_is_no_such_database"
    checks = await ask_with(api, serve, settings, database_url=url)

    assert checks["postgresql"] == "missing"
