"""The migrations make exactly the tables that the models describe."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from app.db.engine import Database
from app.db.migrate import migrate, scripts
from app.db.models import Org
from app.settings import Settings
from tests.support.services import Clones


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
    assert len(ScriptDirectory(str(scripts())).get_heads()) == 1


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


async def test_many_may_migrate_an_empty_database_at_once(empty_database: str) -> None:
    await asyncio.gather(*(migrate(empty_database) for _ in range(4)))
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM org") == 0
    finally:
        await connection.close()
