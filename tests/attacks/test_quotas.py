"""What an org has is counted, and it may have only so much; what runs goes on, and may be ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db.engine import Database
from app.kit.concurrency.tasks import end_tasks
from app.manifests.quotas import count_quotas
from app.settings import Settings
from app.settings.tenants import QuotaSettings
from tests.support.flows import Session
from tests.support.http import NewKey
from tests.support.manifests import manifest, post, secret, send

Counted = Callable[..., Awaitable[httpx.AsyncClient]]
QUOTAS = QuotaSettings(
    running_steps=4,
    sessions=2,
    agents=1,
    flows=1,
    secrets=1,
    stored_bytes=2_000,
    count_seconds=0.02,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"flows_package": "tests.support.engine_flows", "quotas": QUOTAS.model_copy()}
    )


@pytest.fixture
async def counted(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, database: Database
) -> Counted:
    """Counts until the quotas are used up that are named; a client that knows of it."""

    async def count(*names: str) -> httpx.AsyncClient:
        task = asyncio.create_task(count_quotas(api.state.runtime))
        async with asyncio.timeout(10):
            while True:
                used_up = await database.pool.fetchval("SELECT used_up FROM org")
                if set(used_up or {}) == set(names):
                    break
                await asyncio.sleep(0.02)
        await end_tasks(task)
        key = await new_key()  # keys are remembered for some seconds, with their orgs
        client.headers["Authorization"] = f"Bearer {key.api_key}"
        return client

    return count


def refusal(response: httpx.Response, status: int, quota: str) -> str:
    """What a request is refused with."""
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["type"].rpartition(":")[2]) == (status, "quota-exceeded")
    assert body["quota"] == quota
    detail: str = body["detail"]
    return detail


async def test_no_more_sessions_than_an_org_may_have(
    client: httpx.AsyncClient, settings: Settings, database: Database, counted: Counted
) -> None:
    settings.quotas.stored_bytes = 1_000_000
    first, _ = [await Session.start(client, "given") for _ in range(2)]
    client = await counted("sessions")

    refused = await client.post("/v1/ai/given/start_session", json={})
    assert refusal(refused, 403, "sessions") == "exceeded quota: sessions, used: 2, limit: 2"
    thread = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    refusal(await client.post("/v1/ai/threads", json=thread), 403, "sessions")

    await database.pool.execute("DELETE FROM session WHERE id = $1", first.id)
    client = await counted()
    await Session.start(client, "given")


async def test_no_more_steps_than_an_org_may_have_at_once(
    client: httpx.AsyncClient, database: Database, counted: Counted
) -> None:
    first, second = [await Session.start(client, "unserved") for _ in range(2)]
    assert (await first.post("go", "[1, 2, 3, 4]")).status_code == 200
    client = await counted("running_steps", "sessions")

    refused = await second.post("go", "[1]")
    assert "exceeded quota: running_steps, used: 4, limit: 4" in refusal(
        refused, 429, "running_steps"
    )
    assert refused.headers["retry-after"] == "10"

    await database.pool.execute("DELETE FROM session WHERE id = $1", first.id)
    client = await counted()
    assert (await second.post("go", "[1]")).status_code == 200


async def test_no_more_of_a_kind_nor_bytes_than_an_org_may_have(
    client: httpx.AsyncClient, counted: Counted
) -> None:
    await post(client, "apply", secret("one"))
    client = await counted("secrets")

    refusal(await send(client, "apply", secret("two")), 403, "secrets")
    assert (await send(client, "apply", secret("one", "another-very-secret"))).status_code == 200

    session = await Session.start(client, "given")
    noise = "".join(chr(0x4E00 + n * 37 % 20_000) for n in range(4_000))
    await session.post("go", f'["{noise}"]')
    client = await counted("secrets", "stored_bytes")
    refused = await client.post("/v1/ai/given/start_session", json={})
    assert "exceeded quota: stored_bytes, used: " in refusal(refused, 403, "stored_bytes")


async def test_an_account_may_have_less_than_the_service_allows(
    client: httpx.AsyncClient, counted: Counted
) -> None:
    account = manifest("Account", "Acme", {"quotas": {"sessions": 1, "storedBytes": 10**12}})
    applied = await post(client, "apply", account)
    assert applied["data"]["manifest"]["spec"] == account["spec"]
    await Session.start(client, "given")

    client = await counted("sessions")

    refused = await client.post("/v1/ai/given/start_session", json={})
    assert "used: 1, limit: 1" in refusal(refused, 403, "sessions")
