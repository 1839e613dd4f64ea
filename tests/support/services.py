"""PostgreSQL and Valkey of one test run, and a fresh database for each test that asks for one."""

import asyncio
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

from app.db.migrate import migrate
from app.dev.postgres import Postgres
from app.dev.valkey import Valkey
from app.settings import Settings

# Nothing of a test run needs to survive a power cut.
_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True)
class Addresses:
    """Where the services of the run are; `template` is the migrated database that tests clone."""

    database_url: str
    redis_url: str
    template: str

    def database(self, name: str) -> str:
        return f"{self.database_url.rpartition('/')[0]}/{name}"


class Services:
    """Started once per run; embedded unless DATABASE_URL and REDIS_URL name others."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._embedded: list[Postgres | Valkey] = []
        self._directory: Path | None = None
        self._template = f"template_{secrets.token_hex(6)}"
        try:
            self.addresses = self._runner.run(self._start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        with self._runner:
            self._runner.run(self._stop())
        if self._directory:
            shutil.rmtree(self._directory)

    async def _start(self) -> Addresses:
        given = Settings()
        database_url, redis_url = given.database_url, given.redis_url
        if "database_url" not in given.model_fields_set:
            postgres = Postgres(
                self._home(),
                name=secrets.token_hex(8),
                password=secrets.token_hex(16),
                log=self._home() / "postgres.log",
                options=_FAST,
            )
            self._embedded.append(postgres)
            database_url = postgres.url
        if "redis_url" not in given.model_fields_set:
            valkey = Valkey(
                self._home(), password=secrets.token_hex(16), log=self._home() / "valkey.log"
            )
            self._embedded.append(valkey)
            redis_url = valkey.url
        await asyncio.gather(*(service.start() for service in self._embedded))
        addresses = Addresses(database_url, redis_url, self._template)
        await execute(database_url, f'CREATE DATABASE "{self._template}"')
        await migrate(addresses.database(self._template))
        return addresses

    async def _stop(self) -> None:
        if not any(isinstance(service, Postgres) for service in self._embedded):
            await execute(Settings().database_url, f'DROP DATABASE IF EXISTS "{self._template}"')
        for service in self._embedded:
            await service.stop()
            if isinstance(service, Postgres):
                shutil.rmtree(service.home.directory)

    def _home(self) -> Path:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="statewright-tests-"))
        return self._directory


async def execute(database_url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class Clones:
    """Databases cloned from the template, over one connection that this process keeps."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(asyncpg.connect(addresses.database_url))

    def create(self, name: str, *, template: str | None = None) -> str:
        """Clone the migrated database, or another; returns the new database's URL."""
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or self.addresses.template}"')
        return self.addresses.database(name)

    def drop(self, name: str) -> None:
        """Remove the database and whoever is still connected to it."""
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def forget(self, redis_prefix: str) -> None:
        """Remove the Redis keys under the prefix."""
        self._runner.run(self._forget(f"{{{redis_prefix}}}:*"))

    def close(self) -> None:
        with self._runner:
            self._runner.run(self._connection.close())

    def _execute(self, statement: str) -> None:
        self._runner.run(self._connection.execute(statement))

    async def _forget(self, pattern: str) -> None:
        async with Redis.from_url(self.addresses.redis_url) as redis:
            async for key in redis.scan_iter(pattern, count=1000):
                await redis.unlink(key)
