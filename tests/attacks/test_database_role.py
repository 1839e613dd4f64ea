"""The role by which the service uses its database is no superuser."""

import secrets
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest
import yaml

from app.db.migrate import migrate
from app.dev.postgres import Postgres

ROOT = Path(__file__).parents[2]


async def check_rights(service: asyncpg.Connection) -> None:
    role = await service.fetchrow(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " pg_has_role('pg_read_server_files', 'USAGE') AS files FROM pg_roles"
        " WHERE rolname = current_user"
    )
    assert set(role.values()) == {False}
    for statement in (
        "COPY message FROM PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        "CREATE ROLE other SUPERUSER",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SET SESSION AUTHORIZATION statewright",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)


async def test_the_service_owns_its_data_and_has_no_other_rights() -> None:
    """Also of data of an earlier release, where it was the superuser itself."""
    place = Path(tempfile.mkdtemp())
    password = secrets.token_hex(8)
    postgres = Postgres(
        place,
        name=secrets.token_hex(8),
        password=password,
        superuser_password=secrets.token_hex(8),
        log=place / "postgres.log",
        options={"fsync": "off"},
    )
    try:
        await postgres.start()
        superuser = await asyncpg.connect(postgres.superuser_url)
        await superuser.execute("ALTER DATABASE statewright OWNER TO statewright")
        await migrate(postgres.superuser_url)
        await superuser.close()
        await postgres.stop()

        await postgres.start()
        service = await asyncpg.connect(postgres.url)
        await check_rights(service)
        await service.execute("ALTER TABLE message ADD COLUMN later int")
        await service.execute("CREATE TABLE later (id int)")
        theirs = await service.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'service'"
        )
        assert theirs == 0
        await service.close()
    finally:
        await postgres.stop()
        shutil.rmtree(postgres.home.directory.parent, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


def test_compose_gives_the_service_a_role_that_is_none() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    address = compose["services"]["api"]["environment"]["DATABASE_URL"]
    assert address.startswith("postgresql://statewright:")
    assert "POSTGRES_USER" not in compose["services"]["postgres"]["environment"]  # the superuser
    role = compose["configs"]["role"]["content"]
    assert "CREATE ROLE statewright LOGIN PASSWORD" in role
    assert "SUPERUSER" not in role
