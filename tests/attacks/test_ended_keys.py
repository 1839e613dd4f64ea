"""A request that waits ends when its key does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from app.access.key_cache import KeyCache
from app.access.key_holds import KeyHolds
from app.errors import UnauthorizedError
from app.kit.concurrency.tasks import end_tasks
from tests.support.http import NewKey
from tests.support.threads import start

ENDS = {
    "revoked": "UPDATE api_key SET revoked_at = clock_timestamp() WHERE id = $1",
    "deleted": "DELETE FROM api_key WHERE id = $1",
    "undeployed": "UPDATE api_key SET deployed = false WHERE id = $1",
    "user undeployed": """
        UPDATE "user" SET deployed = false WHERE id = (SELECT user_id FROM api_key WHERE id = $1)
    """,
}


async def waits(client: httpx.AsyncClient, new_key: NewKey) -> tuple[str, httpx.Request]:
    """A key, and a request with it that waits for what does not come."""
    keeper = await new_key()
    client.headers["authorization"] = f"Bearer {keeper.api_key}"
    thread = await start(client, "Hello", visibility="org")  # nobody answers
    other = await new_key(user="bob@acme.example")
    request = client.build_request(
        "GET",
        f"/v1/ai/threads/{thread['thread_id']}/delta",
        params={"wait": "20", "next_token": thread["continuation_token"]},
        headers={"authorization": f"Bearer {other.api_key}"},
    )
    return other.key_id, request


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a request has begun to wait: until then its key would be refused as any other."""
    began, hold = asyncio.Event(), KeyCache.held

    @asynccontextmanager
    async def noted(keys: KeyCache, key_id: str) -> AsyncIterator[None]:
        async with hold(keys, key_id):
            began.set()
            yield

    monkeypatch.setattr(KeyCache, "held", noted)
    return began


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_wait_ends_with_its_key(
    api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey, waiting: asyncio.Event, end: str
) -> None:
    key_id, request = await waits(anonymous, new_key)
    held = asyncio.create_task(anonymous.send(request))
    await waiting.wait()
    assert not held.done()
    await api.state.database.pool.execute(end, key_id)
    async with asyncio.timeout(5):
        answer = await held
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_wait_ends_when_its_key_expires(
    api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    key_id, request = await waits(anonymous, new_key)
    soon = "UPDATE api_key SET expires_at = clock_timestamp() + interval '0.7 s' WHERE id = $1"
    await api.state.database.pool.execute(soon, key_id)
    async with asyncio.timeout(4):
        assert (await anonymous.send(request)).status_code == 401


async def test_a_wait_does_not_end_when_its_key_is_renamed(
    api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    key_id, request = await waits(anonymous, new_key)
    held = asyncio.create_task(anonymous.send(request))
    await asyncio.sleep(0.1)
    await api.state.database.pool.execute(
        "UPDATE api_key SET description = 'other' WHERE id = $1", key_id
    )
    await asyncio.sleep(0.2)
    assert not held.done()
    api.state.runtime.wakeups.end_waits()
    assert (await held).status_code == 200


async def test_a_wait_ends_though_nothing_is_heard_of_changes(
    api: FastAPI, anonymous: httpx.AsyncClient, new_key: NewKey
) -> None:
    """As behind a transaction pooler: the keys of those who wait are looked at all the time."""
    pool, key = api.state.database.pool, await new_key()
    holds = KeyHolds(pool, is_notified=lambda: False)
    looking = asyncio.create_task(holds.look_for_ever())
    await pool.execute(ENDS["revoked"], key.key_id)
    with pytest.raises(UnauthorizedError):
        async with asyncio.timeout(5), holds.held(key.key_id, None):
            await asyncio.sleep(10)
    await end_tasks(looking)
