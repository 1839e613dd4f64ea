"""Tools of type http: the model calls them, a worker makes the request, the turn goes on."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.worker import serving
from tests.support.http_server import HttpServer, Says
from tests.support.manifests import manifest, many, post
from tests.support.threads import answered, texts

KEY = "sk-tool-secret-0123456789"
ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}},
    "required": ["order_id"],
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached."""
    security = settings.security.model_copy(update={"egress_allow": ["127.0.0.0/8"]})
    return settings.model_copy(update={"security": security})


@pytest.fixture(autouse=True)
async def _worker(settings: Settings) -> AsyncIterator[None]:
    async with serving(settings):
        yield


@pytest.fixture
async def shop(client: httpx.AsyncClient) -> AsyncIterator[HttpServer]:
    """What the tools reach; its connection is there."""
    async with HttpServer() as server:
        connection = {"baseUrl": f"{server.url}/v2", "authMethod": "token", "apiKey": "shop-key"}
        await post(
            client,
            "apply",
            many(
                manifest("Secret", "shop-key", {"config": {"value": KEY}}),
                manifest("ApiConnection", "shop", {"connection": connection}),
            ),
        )
        yield server


async def declare(client: httpx.AsyncClient, name: str = "get-order", **spec: Any) -> str:
    """Apply a Tool; by default it reads an order."""
    http = {"connection": "shop", "method": "GET", "path": "/orders/{order_id}"}
    given = {"description": "An order.", "inputSchema": ORDER, "effect": "read", **spec}
    given["http"] = http | given.get("http", {})
    await post(client, "apply", manifest("Tool", name, given))
    return name


async def test_a_call_is_made_by_a_worker_and_the_model_goes_on(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    shop.script(Says(json.dumps({"state": "sent"})))
    tool = await declare(client)
    thread = await answered(
        client,
        'Let me see.\ncall get-order {"order_id": "A 1/7"}\nthen',
        model_profile="script",
        tools=[tool],
    )
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "roboto", "assistant"]
    assert texts(thread)[3] == "[script model] get-order: {'state': 'sent'}"
    [request] = shop.requests
    assert (request.method, request.url) == ("GET", "/v2/orders/A%201%2F7")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["idempotency-key"]
