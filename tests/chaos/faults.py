"""What is done to the deployment: each fault begins, lasts for some seconds, and is healed."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
from redis.asyncio import Redis

from app.dev.servers import Api, Worker
from tests.chaos.deployment import Deployment, Ways
from tests.chaos.slow_clients import slow_clients
from tests.support.stalling_proxy import StallingProxy

STOP_SECONDS = 12.0  # of a worker that drains for three, while something else is wrong
_TABLES = ("session", "event", "transition", "message", "invocation", "step")
_BUSY_SESSION = "SELECT id FROM session WHERE invocation_id IS NOT NULL ORDER BY random() LIMIT 1"
_BUSY_STEP = "SELECT id FROM step WHERE status = 'running' ORDER BY random() LIMIT 1"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        seconds: how long it lasts, from and to.
        run: does it; the block is as long as it lasts, the value is its target.
        weight: how often it comes.
    """

    seconds: tuple[float, float]
    run: Callable[[Deployment, random.Random], AbstractAsyncContextManager[str]]
    weight: int = 2


@asynccontextmanager
async def _killed_worker(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _ended(deployment, rng.choice(deployment.workers), deployment.kill) as name:
        yield name


@asynccontextmanager
async def _killed_api(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _ended(deployment, rng.choice(deployment.apis), deployment.kill) as name:
        yield name


@asynccontextmanager
async def _stopped_worker(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _ended(deployment, rng.choice(deployment.workers), _stop(deployment)) as name:
        yield name


@asynccontextmanager
async def _stopped_api(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _ended(deployment, rng.choice(deployment.apis), _stop(deployment)) as name:
        yield name


@asynccontextmanager
async def _killed_all(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    parts: list[Api | Worker] = [*deployment.apis, *deployment.workers]
    await asyncio.gather(*(deployment.kill(part) for part in parts if part.process.is_running))
    yield "APIs and workers"
    await asyncio.gather(*(part.start() for part in parts if not part.process.is_running))


def _stop(deployment: Deployment) -> Callable[[Api | Worker], Awaitable[None]]:
    """By SIGTERM; who does not obey has to say in its log what it does instead, and is killed."""

    async def stop(part: Api | Worker) -> None:
        began, pid = time.time(), part.process.pid
        await part.process.stop((signal.SIGTERM, STOP_SECONDS), (signal.SIGABRT, 1.0))
        if time.time() - began > STOP_SECONDS:
            name = part.process.log.stem
            deployment.complaints.append(f"{name} ({pid}) did not stop within {STOP_SECONDS:g} s")

    return stop


@asynccontextmanager
async def _ended(
    deployment: Deployment, part: Any, end: Callable[[Any], Awaitable[None]]
) -> AsyncIterator[str]:
    """Ended at the start of the block, and started again after it."""
    if part.process.is_running:
        await end(part)
    yield part.process.log.stem
    if not part.process.is_running:
        await part.start()


@asynccontextmanager
async def _paused_worker(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _paused(deployment, rng.choice(deployment.workers)) as name:
        yield name


@asynccontextmanager
async def _paused_api(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _paused(deployment, rng.choice(deployment.apis)) as name:
        yield name


@asynccontextmanager
async def _paused_redis(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _paused(deployment, deployment.valkey) as name:
        yield name


@asynccontextmanager
async def _paused(deployment: Deployment, part: Any) -> AsyncIterator[str]:
    if part.process.is_running:
        deployment.pause(part)
    try:
        yield part.process.log.stem
    finally:
        deployment.resume(part)


@asynccontextmanager
async def _locked_row(deployment: Deployment, table: str, busy: str) -> AsyncIterator[str]:
    async with _connection(deployment) as connection:
        row_id = await connection.fetchval(busy)
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", row_id)
            yield row_id or ""


@asynccontextmanager
async def _locked_session(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _locked_row(deployment, "session", _BUSY_SESSION) as row_id:
        yield row_id


@asynccontextmanager
async def _locked_step(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _locked_row(deployment, "step", _BUSY_STEP) as row_id:
        yield row_id


@asynccontextmanager
async def _locked_table(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    """As an ALTER that waits for a dump, a psql that was left open, CREATE INDEX."""
    table, mode = rng.choice(_TABLES), rng.choice(["ACCESS EXCLUSIVE", "SHARE"])
    async with _connection(deployment) as connection, connection.transaction():
        await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield f"{table} ({mode})"


@asynccontextmanager
async def _killed_postgres(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    await deployment.kill(deployment.postgres)
    yield "postgres"
    await deployment.postgres.start()


@asynccontextmanager
async def _stopped_postgres(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    await deployment.postgres.stop()
    yield "postgres"
    await deployment.postgres.start()


@asynccontextmanager
async def _read_only(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    """As after a failover."""
    await set_of_server(deployment, "ALTER SYSTEM SET default_transaction_read_only = on")
    yield "postgres"
    await set_of_server(deployment, "ALTER SYSTEM RESET default_transaction_read_only")


@asynccontextmanager
async def _full_disk(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    """The file system of the tables of turns has no block left."""
    ballast = deployment.disk / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * 4096)
            file.flush()
    yield str(deployment.disk)
    ballast.unlink()


@asynccontextmanager
async def _hung_postgres(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _stalled(deployment, rng, lambda ways: ways.postgres) as name:
        yield name


@asynccontextmanager
async def _hung_redis(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with _stalled(deployment, rng, lambda ways: ways.redis) as name:
        yield name


@asynccontextmanager
async def _stalled(
    deployment: Deployment, rng: random.Random, way: Callable[[Ways], StallingProxy]
) -> AsyncIterator[str]:
    """Of one process, or of all."""
    names = rng.choice([[name] for name in deployment.ways] + [list(deployment.ways)] * 2)
    proxies = [way(deployment.ways[name]) for name in names]
    for proxy in proxies:
        proxy.flowing.clear()
    try:
        yield " ".join(names)
    finally:
        for proxy in proxies:
            proxy.flowing.set()


@asynccontextmanager
async def _cut(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    """All connections of a process to PostgreSQL and Redis."""
    name = rng.choice(list(deployment.ways))
    deployment.ways[name].postgres.cut()
    deployment.ways[name].redis.cut()
    yield name


@asynccontextmanager
async def _killed_redis(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    await deployment.kill(deployment.valkey)
    yield "valkey"
    await deployment.valkey.start()


@asynccontextmanager
async def _flushed_redis(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    await deployment.flush_redis()
    yield "valkey"


@asynccontextmanager
async def _full_redis(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    async with Redis.from_url(deployment.valkey.url) as redis:
        await redis.config_set("maxmemory", "1")
        yield "valkey"
        await redis.config_set("maxmemory", "0")


@asynccontextmanager
async def _slow_clients(deployment: Deployment, rng: random.Random) -> AsyncIterator[str]:
    number = rng.randrange(len(deployment.apis))
    async with slow_clients(deployment.base_urls[number], deployment.api_key, rng):
        yield deployment.apis[number].process.log.stem


@asynccontextmanager
async def _connection(deployment: Deployment) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(deployment.postgres.superuser_url, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


async def set_of_server(deployment: Deployment, statement: str) -> None:
    """Change a setting of the whole server, whatever it is now."""
    async with _connection(deployment) as connection:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(statement)
        await connection.execute("SELECT pg_reload_conf()")


KINDS = {
    "kill worker": Kind((0.2, 5), _killed_worker, weight=4),
    "kill api": Kind((0.2, 3), _killed_api),
    "kill all": Kind((0.2, 3), _killed_all, weight=1),
    "stop worker": Kind((0.0, 2), _stopped_worker),
    "stop api": Kind((0.0, 2), _stopped_api),
    "pause worker": Kind((1, 9), _paused_worker, weight=4),
    "pause api": Kind((0.5, 5), _paused_api),
    "lock session": Kind((2, 7), _locked_session, weight=4),
    "lock step": Kind((3, 10), _locked_step, weight=3),
    "lock table": Kind((0.5, 5), _locked_table, weight=3),
    "kill postgres": Kind((0.0, 2), _killed_postgres),
    "stop postgres": Kind((0.0, 3), _stopped_postgres),
    "read-only": Kind((1, 5), _read_only),
    "full disk": Kind((1, 5), _full_disk),
    "hang postgres": Kind((1, 8), _hung_postgres, weight=3),
    "cut": Kind((0, 0), _cut, weight=3),
    "pause redis": Kind((1, 8), _paused_redis, weight=2),
    "hang redis": Kind((1, 8), _hung_redis, weight=2),
    "kill redis": Kind((0.2, 6), _killed_redis),
    "flush redis": Kind((0, 0), _flushed_redis, weight=2),
    "full redis": Kind((1, 6), _full_redis),
    "slow clients": Kind((1, 6), _slow_clients, weight=3),
}
