"""The migrations make exactly the tables that the models describe."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

from app.db.engine import Database
from app.db.migrate import MigrationTimeoutError, migrate, newest_migration, scripts
from app.db.models import Org
from app.settings import Settings
from tests.support.migration_lint import findings
from tests.support.services import Clones, execute

pytestmark = pytest.mark.slow  # make check runs them

# Findings that are accepted, by revision: no further one without a reason beside it.
ACCEPTED = {
    "0002",  # before the first release
    "0005",  # small tables; the release before writes jsonb, which PostgreSQL casts
}
REVISIONS = list(ScriptDirectory(str(scripts())).walk_revisions())


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Org.metadata))


async def test_the_migrated_tables_are_those_of_the_models(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_every_constraint_was_given_its_name(database: Database) -> None:
    named = {
        constraint.name
        for table in Org.metadata.tables.values()
        for constraint in table.constraints
    }
    rows = await database.pool.fetch(
        "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " AND contype <> 'n'"
    )
    assert {row["conname"] for row in rows} - {"alembic_version_pkc"} == named


def test_there_is_one_line_of_migrations() -> None:
    assert ScriptDirectory(str(scripts())).get_heads() == [newest_migration()]


@pytest.mark.parametrize("script", REVISIONS, ids=lambda script: script.revision)
def test_a_migration_is_survived_by_the_release_before(script: Script) -> None:
    def upgrade(op: Any) -> None:
        script.module.op = op
        script.module.upgrade()

    found = findings(upgrade)
    assert bool(found) is (script.revision in ACCEPTED), found


@pytest.mark.parametrize(
    "unsafe",
    [
        lambda op: op.drop_table("org"),
        lambda op: op.drop_column("org", "name"),
        lambda op: op.rename_table("org", "company"),
        lambda op: op.alter_column("org", "name", new_column_name="title"),
        lambda op: op.alter_column("org", "name", type_=sa.Text()),
        lambda op: op.alter_column("org", "name", nullable=False),
        lambda op: op.add_column("org", sa.Column("x", sa.Integer(), nullable=False)),
        lambda op: op.create_index("ix_step_x", "step", ["x"]),
        lambda op: op.create_unique_constraint("uq_step_x", "step", ["x"]),
        lambda op: op.create_foreign_key("fk_step_x", "step", "org", ["x"], ["id"]),
        lambda op: op.create_check_constraint("ck_step_x", "step", "x > 0"),
        lambda op: op.batch_alter_table("org"),
        lambda op: op.execute("alter table org\n drop column name"),
        lambda op: op.execute("ALTER TABLE org RENAME name TO title"),
        lambda op: op.execute("ALTER TABLE org ALTER COLUMN name TYPE text"),
        lambda op: op.execute("ALTER TABLE org ALTER name SET NOT NULL"),
        lambda op: op.execute("ALTER TABLE org ADD COLUMN x int NOT NULL"),
        lambda op: op.execute("CREATE UNIQUE INDEX ix ON step (x)"),
        lambda op: op.execute("ALTER TABLE step ADD CONSTRAINT c CHECK (x > 0)"),
        lambda op: op.execute("LOCK TABLE org"),
    ],
)
def test_a_change_that_breaks_the_release_before_is_found(unsafe: Callable[[Any], object]) -> None:
    assert len(findings(unsafe)) == 1


def test_changes_that_the_release_before_survives_are_let_through() -> None:
    def safe(op: Any) -> None:
        op.create_table("new", sa.Column("id", sa.String(), nullable=False))
        op.create_index("ix_new_id", "new", ["id"])
        op.add_column("org", sa.Column("a", sa.Integer(), nullable=True))
        op.add_column("org", sa.Column("b", sa.Integer(), nullable=False, server_default="1"))
        op.create_index("ix_step_x", "step", ["x"], postgresql_concurrently=True)
        op.create_check_constraint("ck_step_x", "step", "x > 0", postgresql_not_valid=True)
        op.execute("CREATE INDEX CONCURRENTLY ix ON step (x)")
        op.execute("ALTER TABLE org ADD COLUMN x int NOT NULL DEFAULT 1")

    assert findings(safe) == []


async def test_migrating_again_changes_nothing(settings: Settings, database: Database) -> None:
    async with database.transaction() as db:
        db.add(Org(id="org_1", name="kept"))
    await migrate(settings.database_url)
    assert await database.pool.fetchval("SELECT name FROM org") == "kept"


@pytest.fixture
def empty_database(settings: Settings, clones: Clones) -> Iterator[str]:
    name = f"{settings.redis_prefix}_empty"
    yield clones.create(name, template="template0")
    clones.drop(name)


@pytest.mark.slow
async def test_many_may_migrate_an_empty_database_at_once(empty_database: str) -> None:
    await asyncio.gather(*(migrate(empty_database) for _ in range(4)))
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM org") == 0
    finally:
        await connection.close()


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture
async def reader(empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database with the tables of an old release."""
    async with Database.open(empty_database) as old, old.engine.connect() as connection:
        await connection.run_sync(_upgrade, "0003")
    reader = await asyncpg.connect(empty_database)
    yield reader
    await reader.close()


async def test_a_reader_holds_a_migration_up_but_no_query(
    empty_database: str, reader: asyncpg.Connection
) -> None:
    lines: list[str] = []
    said = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        said.set()

    async with reader.transaction():
        await reader.fetch("SELECT * FROM api_key")
        migration = asyncio.create_task(migrate(empty_database, say=say))
        async with asyncio.timeout(20):
            await said.wait()
        # The migrations before the one that waits are done, and nobody waits behind that one.
        assert await reader.fetchval("SELECT version_num FROM alembic_version") == "0004"
        async with asyncio.timeout(3):
            await execute(empty_database, "SELECT * FROM api_key")
    async with asyncio.timeout(20):
        await migration

    assert lines[0] == "Migrations wait: the tables are in use; trying again in 0.5 s."
    assert await reader.fetchval("SELECT version_num FROM alembic_version") == newest_migration()


async def test_a_migration_gives_up_in_the_end(
    empty_database: str, reader: asyncpg.Connection
) -> None:
    async with reader.transaction():
        await reader.fetch("SELECT * FROM api_key")
        with pytest.raises(MigrationTimeoutError, match="run it again"):
            await migrate(empty_database, patience=1, say=str)
