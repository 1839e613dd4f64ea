"""Whether the process lives, and whether it can do its work. No key needed."""

import asyncio
from collections.abc import Awaitable
from enum import StrEnum
from typing import Any, Literal

import asyncpg
from fastapi import APIRouter
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.api.deps import DatabaseDep, RedisDep, SettingsDep
from app.api.http.problems import problem_responses
from app.api.http.route import ApiRoute
from app.db.engine import UNAVAILABLE
from app.db.migrate import is_migrated
from app.errors import UnavailableError

router = APIRouter(prefix="/health", tags=["health"], route_class=ApiRoute)

_NO_KEY: dict[str, Any] = {"security": []}
_CHECK_SECONDS = 2.0
_FAILURES = (*UNAVAILABLE, RedisError, asyncpg.PostgresError)


class CheckState(StrEnum):
    """What is known of a part that turns need."""

    OK = "ok"
    MISSING = "missing"
    NOT_MIGRATED = "not migrated"
    UNKNOWN = "unknown"


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """Whether all that a turn needs is there; degraded without Redis, where turns are slower."""

    status: Literal["ready", "degraded"] = "ready"
    checks: dict[str, str]


@router.get("/live", responses=problem_responses(400), openapi_extra=_NO_KEY)
async def live() -> Live:
    """The process runs and answers."""
    return Live()


@router.get("/ready", responses=problem_responses(400, 503), openapi_extra=_NO_KEY)
async def ready(settings: SettingsDep, database: DatabaseDep, redis: RedisDep) -> Ready:
    """PostgreSQL and a worker are there; else a 503 names what is missing.

    Without Redis turns go on, slower, and nobody knows of workers: that is `degraded`, a 200.
    """
    postgresql, (redis_state, worker) = await asyncio.gather(
        _state(is_migrated(database.pool), otherwise=CheckState.NOT_MIGRATED),
        _redis_and_worker(redis, f"{settings.redis_namespace}:worker:*"),
    )
    checks = {"postgresql": postgresql, "redis": redis_state, "worker": worker}
    missing = [name for name, state in checks.items() if state is not CheckState.OK]
    if missing == ["redis", "worker"] and worker is CheckState.UNKNOWN:
        return Ready(status="degraded", checks=checks)
    if missing:
        detail = f"Not ready; missing: {', '.join(missing)}."
        if postgresql is CheckState.NOT_MIGRATED:
            detail += " The database is not migrated: run `statewright migrate`."
        raise UnavailableError(detail, extra={"checks": checks}, retry_after=1)
    return Ready(checks=checks)


async def _redis_and_worker(redis: Redis, pattern: str) -> tuple[CheckState, CheckState]:
    if await _state(redis.ping()) is not CheckState.OK:
        return CheckState.MISSING, CheckState.UNKNOWN
    return CheckState.OK, await _state(_any_key(redis, pattern))


async def _any_key(redis: Redis, pattern: str) -> bool:
    """Whether a worker's key is there: each worker writes one and lets it lapse when it dies."""
    async for _ in redis.scan_iter(match=pattern, count=1000):
        return True
    return False


async def _state(check: Awaitable[bool], otherwise: CheckState = CheckState.MISSING) -> CheckState:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return CheckState.OK if await check else otherwise
    except _FAILURES:
        return CheckState.MISSING
