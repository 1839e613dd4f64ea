"""Where Alembic finds the tables and the database."""

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool
from sqlmodel import AutoString

from app.db.engine import create_engine
from app.db.models import Org
from app.settings import get_settings


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write SQLModel's own string type as the plain one: a migration then needs no SQLModel."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


def run(connection: Connection) -> None:
    """Run the command that was asked for on an open connection, one transaction a migration.

    In one for all, the first one's locks would be held until the last one is done.
    """
    context.configure(
        connection=connection,
        target_metadata=Org.metadata,
        compare_server_default=True,
        render_item=render_item,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """The `alembic` command: connect to the database of the settings."""
    engine = create_engine(get_settings().database_url, command_timeout=None, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
