"""PostgreSQL and Valkey of one test run, and a fresh database for each test that asks for one."""

import asyncio
import secrets
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis

from app.db.migrate import migrate
from app.dev.postgres import Postgres
from app.dev.postgres_role import ROLE
from app.dev.valkey import Valkey
from app.settings import Settings

# Nothing of a test run needs to survive a power cut, and its queries are too small to be compiled.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "jit": "off",
    "scram_iterations": "1",
}
# Tests make databases, and empty them.
_RIGHTS_OF_TESTS = f"""
    ALTER ROLE {ROLE} CREATEDB;
    GRANT SET ON PARAMETER session_replication_role TO {ROLE};
"""


@dataclass(frozen=True)
class Addresses:
    """Where the services of the run are.

    Attributes:
        template: the migrated database that tests clone.
        is_embedded: whether the PostgreSQL goes, with all that is in it, when the run ends.
    """

    database_url: str
    redis_url: str
    template: str
    is_embedded: bool

    def database(self, name: str) -> str:
        return f"{self.database_url.rpartition('/')[0]}/{name}"


class Services:
    """Started once per run; embedded unless DATABASE_URL and REDIS_URL name others.

    They start beside what made this: `wait_until_up` before they are used.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._embedded: list[Postgres | Valkey] = []
        self._directory: Path | None = None
        self.addresses = self._choose()
        # Of one thread, which lives until the end: a process ends with the thread that started it.
        self._thread = ThreadPoolExecutor(1)
        self._started = self._thread.submit(self._runner.run, self._start())

    def wait_until_up(self) -> None:
        self._started.result()

    def stop(self) -> None:
        with self._thread:
            self._thread.submit(self._runner.run, self._stop()).result()
            self._thread.submit(self._runner.close).result()
        if self._directory:
            shutil.rmtree(self._directory)

    def _choose(self) -> Addresses:
        given = Settings()
        database_url, redis_url = given.database_url, given.redis_url
        is_embedded = "database_url" not in given.model_fields_set
        if is_embedded:
            postgres = Postgres(
                self._home(),
                name=secrets.token_hex(8),
                password=secrets.token_hex(16),
                superuser_password=secrets.token_hex(16),
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
        template = f"template_{secrets.token_hex(6)}"
        return Addresses(database_url, redis_url, template, is_embedded)

    async def _start(self) -> None:
        await asyncio.gather(*(service.start() for service in self._embedded))
        for postgres in self._embedded:
            if isinstance(postgres, Postgres):
                await execute(postgres.superuser_url, _RIGHTS_OF_TESTS)
        if self.addresses.is_embedded:
            # Its hash had 4,096 rounds, for both sides of each of thousands of connections.
            password = urlsplit(self.addresses.database_url).password
            rehash = f"ALTER ROLE CURRENT_USER PASSWORD '{password}'"
            await execute(self.addresses.database_url, rehash)
        await execute(self.addresses.database_url, f'CREATE DATABASE "{self.addresses.template}"')
        await migrate(self.addresses.database(self.addresses.template))

    async def _stop(self) -> None:
        if not self.addresses.is_embedded:
            name = self.addresses.template
            await execute(self.addresses.database_url, f'DROP DATABASE IF EXISTS "{name}"')
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
    """Databases cloned from the template, over one connection that this process keeps.

    A clone costs 0.1 s of a processor, emptying one a tenth of that: a database in which a test
    left nothing but rows goes to the next test.
    """

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self._idle: list[_Kept] = []
        self._taken: dict[str, _Kept] = {}
        self._runner = asyncio.Runner()
        self._connection: Any = self._runner.run(asyncpg.connect(addresses.database_url))

    def take(self) -> str:
        """The name of a migrated database without rows."""
        database = self._idle.pop() if self._idle else self._runner.run(self._keep())
        self._taken[database.name] = database
        return database.name

    def give_back(self, name: str) -> None:
        """End who is still at work; empty the database for the next test, or remove it."""
        database = self._taken.pop(name)
        if self._runner.run(database.empty()):
            self._idle.append(database)
        else:
            self._runner.run(database.connection.close())
            self.drop(name)

    def lends(self, database_url: str) -> bool:
        """Whether a test has the database now."""
        return any(self.addresses.database(name) == database_url for name in self._taken)

    def create(self, name: str, *, template: str | None = None) -> str:
        """Clone the migrated database, or another; returns the new database's URL."""
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or self.addresses.template}"')
        return self.addresses.database(name)

    def drop(self, name: str) -> None:
        """Remove the database and whoever is still connected to it."""
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def forget(self, redis_prefix: str) -> None:
        """Remove the Redis keys under the prefix."""
        async with Redis.from_url(self.addresses.redis_url) as redis:
            async for key in redis.scan_iter(f"{{{redis_prefix}}}:*", count=1000):
                await redis.unlink(key)

    def close(self) -> None:
        for database in self._idle:
            self._runner.run(database.connection.close())
            if not self.addresses.is_embedded:
                self.drop(database.name)
        with self._runner:
            self._runner.run(self._connection.close())

    def _execute(self, statement: str) -> None:
        self._runner.run(self._connection.execute(statement))

    async def _keep(self) -> "_Kept":
        name = f"test_{secrets.token_hex(6)}"
        await self._connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{self.addresses.template}"'
        )
        connection = await asyncpg.connect(self.addresses.database(name))
        return _Kept(name, connection, await connection.fetchval(_SCHEMA))


_MAX_BYTES = 30_000_000
KEPT = "kept"  # the name of connections that the next test uses too
_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user
        AND (application_name <> $1 OR state <> 'idle')
"""
_EMPTY = """
    DO $$
    DECLARE name text;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR name IN
            SELECT tablename FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
    END $$;
    SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences;
"""
# What a test may leave behind that is not a row, as one text. A column that was changed and changed
# back is another one for statements that were prepared before.
_SCHEMA = """
    SELECT string_agg(part, E'\n' ORDER BY part) FROM (
        SELECT concat_ws(' ', relname, reloptions, attname, pg_attribute.xmin)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL
        SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT concat_ws(' ', tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting
        JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
        UNION ALL
        SELECT version_num FROM alembic_version
    ) AS parts (part)
"""


@dataclass(frozen=True)
class _Kept:
    """A database that tests use one after the other, and our own connection to it."""

    name: str
    connection: Any
    schema: str

    async def empty(self) -> bool:
        """Delete all rows. Returns whether the database is as it was, and still small."""
        try:
            await self.connection.execute(_OTHERS, KEPT)
            await self.connection.execute(_EMPTY)
            size = await self.connection.fetchval("SELECT pg_database_size(current_database())")
            return bool(
                size < _MAX_BYTES and await self.connection.fetchval(_SCHEMA) == self.schema
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False  # the test ended the server or our connection, or left it read-only
