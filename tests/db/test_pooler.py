"""What a transaction pooler needs, shown by what is asked of the server itself."""

import asyncio
from unittest.mock import Mock

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.db.listen import listen
from app.db.migrate import migrate
from app.db.pooler import SessionNeededError
from app.settings import Settings


@pytest.fixture
def url(settings: Settings) -> str:
    return f"{settings.database_url}?pooler=transaction"


async def test_neither_door_leaves_anything_in_a_connection(url: str) -> None:
    async with Database.open(url, pool_size=1) as database:
        assert await database.pool.fetchval("SELECT $1::jsonb", {"a": 1}) == {"a": 1}
        assert await database.pool.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0
        # PgBouncer refuses a connection that brings such a parameter.
        assert await database.pool.fetchval("SELECT current_setting('lock_timeout')") == "0"
        async with database.transaction() as db:
            connection = await db.connection()
            await connection.execute(text("SELECT :a"), {"a": "b"})
            left = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
            assert left.scalar_one() == 0


async def test_a_statement_is_prepared_in_the_transaction_that_runs_it(url: str) -> None:
    began_before = "SELECT transaction_timestamp() < statement_timestamp()"
    async with Database.open(url, pool_size=1) as database:
        pool = database.pool
        assert await pool.fetchval(began_before)
        assert (await pool.fetchrow(began_before))[0]
        assert (await pool.fetch(began_before))[0][0]
        await pool.execute("SELECT set_config('a.b', $1, true)", "gone with its transaction")
        assert await pool.fetchval("SELECT current_setting('a.b', true)") == ""


async def test_notifications_are_not_believed_to_be_heard(url: str) -> None:
    began = Mock()
    async with asyncio.timeout(5):
        await listen(url, "changes", began=began, heard=Mock(), ended=Mock())
    began.assert_not_called()


async def test_migrations_need_a_session_of_their_own(url: str) -> None:
    with pytest.raises(SessionNeededError, match="STATEWRIGHT_DATABASE_DIRECT_URL"):
        await migrate(url)


async def test_another_kind_of_pooler_is_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="`pooler` is `transaction`"):
        async with Database.open(f"{settings.database_url}?pooler=statement"):
            pass
