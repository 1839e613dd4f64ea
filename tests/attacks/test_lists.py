"""Lists and searches of one org stop neither turns nor the lists of another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.db.engine import Database, create_engine
from app.settings import Settings
from app.settings.http import ListSettings
from tests.support.http import NewKey
from tests.support.threads import THREADS, data, start

SEARCH = f"{THREADS}/search"
CROWD = 25


@asynccontextmanager
async def slow_searches(settings: Settings) -> AsyncIterator[None]:
    """Every list of threads waits while the block lasts."""
    holder = await asyncpg.connect(settings.database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE pin IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await holder.close()


async def at_work(settings: Settings, statements: int) -> None:
    """Returns when so many statements wait for the lock."""
    observer = await asyncpg.connect(settings.database_url)
    waiting = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    try:
        while await observer.fetchval(waiting) < statements:  # noqa: ASYNC110 - of the server
            await asyncio.sleep(0.01)
    finally:
        await observer.close()


@pytest.fixture
def limits() -> ListSettings:
    return ListSettings()


@pytest.fixture
def api(api: FastAPI, settings: Settings, limits: ListSettings) -> FastAPI:
    api.state.settings = settings.model_copy(update={"lists": limits})
    return api


async def test_a_crowd_of_searches_stops_neither_turns_nor_another_org(
    client: httpx.AsyncClient, new_key: NewKey, settings: Settings
) -> None:
    other = await new_key(org="Other", user="bob@other.example")
    others = {"Authorization": f"Bearer {other.api_key}"}
    template = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    agent = {"name": "a", "request_template": template}
    made = data(await client.post("/v1/ai/agents", json=agent, headers=others), 201)
    async with slow_searches(settings):
        crowd = [
            asyncio.create_task(client.post(SEARCH, json={"text": "needle"})) for _ in range(CROWD)
        ]
        await at_work(settings, 3)
        listed = await client.get("/v1/ai/agents", headers=others)
        launched = await client.post(
            f"/v1/ai/agents/{made['agent_id']}/launch", json={}, headers=others
        )
        answered_first = not any(search.done() for search in crowd)
    assert (listed.status_code, launched.status_code) == (200, 201)
    assert answered_first
    assert {(await search).status_code for search in crowd} == {200}


@pytest.mark.parametrize(
    "limits", [ListSettings(org_connections=1, org_waiting=2, wait_seconds=0.2)]
)
async def test_more_than_may_wait_is_refused_by_name_of_the_quota(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    async with slow_searches(settings):
        first = asyncio.create_task(client.post(SEARCH, json={}))
        await at_work(settings, 1)
        answers = await asyncio.gather(*(client.post(SEARCH, json={}) for _ in range(4)))
    refused = [answer for answer in answers if answer.status_code == 429]
    waited = [answer for answer in answers if answer.status_code == 503]
    assert (len(refused), len(waited)) == (2, 2)
    for answer in answers:
        assert int(answer.headers["retry-after"]) >= 1
    assert "lists and searches" in refused[0].json()["detail"]
    assert refused[0].json()["quota"] == "lists"
    assert (await first).status_code == 200
    assert (await client.post(SEARCH, json={})).status_code == 200  # no place was lost


@pytest.mark.parametrize("limits", [ListSettings(statement_seconds=0.2)])
async def test_a_statement_that_takes_too_long_ends_and_says_so(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await start(client, "Hi")
    async with slow_searches(settings):
        answer = await client.post(SEARCH, json={})
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":statement-timeout")
    assert int(answer.headers["retry-after"]) >= 1
    assert "cancel" not in answer.text  # the server's own words
    assert len(data(await client.post(SEARCH, json={}))["items"]) == 1


async def test_a_search_that_its_client_leaves_gives_its_place_back(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    async with slow_searches(settings):
        left = [asyncio.create_task(client.post(SEARCH, json={})) for _ in range(CROWD)]
        await at_work(settings, 3)
        for search in left:
            search.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    assert data(await client.post(SEARCH, json={}))["items"] == []


async def test_the_server_itself_ends_what_takes_too_long_but_migrations(
    settings: Settings,
) -> None:
    shown = text("SELECT current_setting('statement_timeout')")
    async with Database.open(settings.database_url, lists=ListSettings(statement_seconds=3)) as db:
        assert await db.pool.fetchval(shown.text) == "4500ms"
        async with db.transaction() as session:
            assert (await (await session.connection()).execute(shown)).scalar_one() == "4500ms"
        async with db.listing("an org") as session:
            assert (await (await session.connection()).execute(shown)).scalar_one() == "3s"
    engine = create_engine(settings.database_url, command_timeout=None)
    async with engine.connect() as connection:
        assert (await connection.execute(shown)).scalar_one() == "0"
    await engine.dispose()
