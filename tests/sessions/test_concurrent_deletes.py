"""What a request is about is deleted between its look and its write, by somebody who held on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from app.settings import Settings
from tests.support.manifests import manifest, post, send
from tests.support.threads import answered

pytestmark = pytest.mark.usefixtures("worker")

_WAITS = (
    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@asynccontextmanager
async def deleting(settings: Settings, *statements: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has deleted and is committed at the end of the block."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement)
            yield connection
    finally:
        await connection.close()


async def waits_for_it(connection: asyncpg.Connection, answer: Awaitable[Any]) -> asyncio.Task[Any]:
    """The request, which has read what is there and waits to write."""
    task = asyncio.ensure_future(answer)
    async with asyncio.timeout(10):
        while not await connection.fetch(_WAITS):
            assert not task.done(), task.result().text
            await asyncio.sleep(0.01)
    return task


async def test_a_key_for_a_user_who_is_deleted_is_of_a_new_user(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await post(client, "apply", manifest("User", "robin@acme.example"))
    token = manifest("AuthToken", "robins", {"user": "robin@acme.example"})

    async with deleting(settings, "DELETE FROM \"user\" WHERE email LIKE 'robin%'") as deletion:
        task = await waits_for_it(deletion, send(client, "apply", token))

    assert (await task).status_code == 200
    described = await send(client, "describe/user", name="robin@acme.example")
    assert described.status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pin", {"pinned": True}),
        ("/visibility", {"visibility": "org"}),
        ("/messages/1/feedback", {"sentiment": "positive"}),
    ],
)
async def test_what_is_deleted_meanwhile_is_a_conflict_in_words(
    client: httpx.AsyncClient, settings: Settings, path: str, body: Any
) -> None:
    thread = await answered(client, "hello")
    url = f"/v1/ai/threads/{thread['thread_id']}{path}"

    async with deleting(settings, "DELETE FROM session") as deletion:
        task = await waits_for_it(deletion, client.post(url, json=body))

    response = await task
    assert (response.status_code, response.json()["type"]) == (
        409,
        "urn:statewright:problem:conflict",
    )
    assert "at the same time" in response.json()["detail"]
