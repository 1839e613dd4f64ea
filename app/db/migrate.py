"""Bring a database's tables up to date: what `statewright migrate`, `dev` and the tests run."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from app.db.engine import create_engine

_APP = Path(__file__).parents[1]
# A wheel carries the scripts inside the package; a checkout has them beside it.
_PLACES = (_APP / "migrations", _APP.parent / "migrations")
_ONE_AT_A_TIME = 7_265_831_904  # any number that no other user of advisory locks takes


def scripts() -> Path:
    """The folder with the migrations."""
    return next(place for place in _PLACES if (place / "env.py").is_file())


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    command.upgrade(config, "head")


async def migrate(database_url: str) -> None:
    """Run the migrations that the database does not have yet, all in one transaction.

    Several processes may call this at once: the first works, the others wait and find it done.

    Raises:
        DatabaseUnreachableError, DBAPIError: the database cannot be reached, or a migration failed;
            then nothing has changed.
    """
    engine = create_engine(database_url, command_timeout=None, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
