"""Nobody waits without end for PostgreSQL: not for a connection, and not for an answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.access.service import create_key
from app.db.engine import Database, DatabaseUnreachableError
from app.db.failures import is_database_failure
from app.db.migrate import migrate
from app.settings import Settings
from tests.support.http import Serve
from tests.support.stalling_proxy import StallingProxy

LIMIT = 6.5  # five seconds, half a second to cancel, and a machine that has more to do

PATHS = ("/v1/ai/flows", "/v1/ai/threads", "/v1/ai/agents", "/health/ready")


async def raw(database: Database) -> object:
    return await database.pool.fetchval("SELECT 1")


async def orm(database: Database) -> object:
    async with database.transaction() as db:
        return (await (await db.connection()).execute(text("SELECT 1"))).scalar_one()


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[StallingProxy]:
    async with StallingProxy.open(settings.database_url) as proxy:
        yield proxy


async def fails_in_time(answer: Awaitable[object]) -> BaseException:
    """The error of a wait that must end by itself."""
    began = time.monotonic()
    with pytest.raises(Exception) as raised:  # noqa: PT011 - looked at by its class
        await answer
    assert time.monotonic() - began < LIMIT
    assert is_database_failure(raised.value), raised.value
    return raised.value


async def test_a_server_that_hangs_is_given_up_and_found_again(proxy: StallingProxy) -> None:
    async def hang_at_a_statement(database: Database) -> None:
        async with database.transaction() as db:
            connection = await db.connection()
            await connection.execute(text("SELECT 1"))
            await hangs.wait()
            await connection.execute(text("SELECT 2"))

    async def hang_at_commit(database: Database) -> None:
        async with database.transaction() as db:
            await (await db.connection()).execute(text("SELECT 1"))
            await hangs.wait()

    hangs = asyncio.Event()
    async with Database.open(proxy.url) as used, Database.open(proxy.url) as fresh:
        assert [await ask(used) for ask in (raw, orm)] == [1, 1]
        begun = [asyncio.create_task(hang(used)) for hang in (hang_at_a_statement, hang_at_commit)]
        await asyncio.sleep(0.2)
        proxy.flowing.clear()
        hangs.set()
        errors = await asyncio.gather(
            *(fails_in_time(ask(database)) for ask in (raw, orm) for database in (used, fresh)),
            *(fails_in_time(task) for task in begun),
        )
        assert {type(error) for error in errors} == {DatabaseUnreachableError}
        proxy.flowing.set()
        assert [await ask(used) for ask in (raw, orm)] == [1, 1]


async def test_parameters_that_libpq_takes_work_at_both_doors(settings: Settings) -> None:
    parameters = {
        "application_name": "mine",
        "connect_timeout": "10",
        "options": "-c statement_timeout=4321",
        "target_session_attrs": "read-write",
        "channel_binding": "prefer",
        "sslmode": "prefer",
        "sslnegotiation": "postgres",
        "gssencmode": "disable",
        "keepalives_idle": "30",
        "tcp_user_timeout": "10000",
        "client_encoding": "utf8",
    }
    query = "SELECT current_setting('application_name') || current_setting('statement_timeout')"
    url = f"{settings.database_url}?{urlencode(parameters, quote_via=quote)}"
    async with Database.open(url) as database:
        assert await database.pool.fetchval(query) == "mine4321ms"
        async with database.transaction() as db:
            row = await (await db.connection()).execute(text(query))
            assert row.scalar_one() == "mine4321ms"
    await migrate(url)


async def test_a_free_connection_is_not_waited_for_without_end(settings: Settings) -> None:
    async with (
        Database.open(settings.database_url, pool_size=1) as database,
        database.pool.acquire(),
    ):
        await fails_in_time(raw(database))


async def test_an_error_of_the_caller_s_own_stays_what_it_is(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as db:
            await db.connection()
            raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        await fail()
    assert not is_database_failure(FileNotFoundError())
    assert not is_database_failure(TimeoutError())


async def test_the_api_answers_503_while_postgresql_hangs(
    settings: Settings, api: FastAPI, serve: Serve, proxy: StallingProxy
) -> None:
    api.state.settings = settings.model_copy(update={"database_url": proxy.url})
    async with serve(api) as client:
        async with api.state.database.transaction() as db:
            key = await create_key(db, settings, org="Acme", user="ann@acme.example")
        client.headers["Authorization"] = f"Bearer {key.api_key}"
        for path in PATHS[:-1]:
            assert (await client.get(path)).status_code == 200, path
        proxy.flowing.clear()

        async def ask(path: str) -> tuple[httpx.Response, float]:
            began = time.monotonic()
            answer = await client.get(path, timeout=30)
            return answer, time.monotonic() - began

        for answer, seconds in await asyncio.gather(*(ask(path) for path in PATHS)):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
            assert seconds < LIMIT
