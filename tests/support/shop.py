"""A shop whose API agents' tools call: its server, and the manifests by which tools reach it."""

from typing import Any

import httpx

from app.settings import Settings
from tests.support.http_server import HttpServer
from tests.support.manifests import manifest, many, post
from tests.support.threads import answered

SHOP_KEY = "sk-tool-secret-0123456789"
ORDER = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}, "amount": {"type": "integer"}},
    "required": ["order_id"],
}


def reachable(settings: Settings) -> Settings:
    """The settings, with which this machine may be reached."""
    security = settings.security.model_copy(update={"egress_allow": ["127.0.0.0/8"]})
    return settings.model_copy(update={"security": security})


def connection_to(server: HttpServer) -> Any:
    """The connection to the shop."""
    connection = {"baseUrl": f"{server.url}/v2", "authMethod": "token", "apiKey": "shop-key"}
    return manifest("ApiConnection", "shop", {"connection": connection})


async def connect(client: httpx.AsyncClient, server: HttpServer) -> None:
    """Apply the connection to the shop, and its key."""
    key = manifest("Secret", "shop-key", {"config": {"value": SHOP_KEY}})
    await post(client, "apply", many(key, connection_to(server)))


async def asked(client: httpx.AsyncClient, script: str, *names: str) -> dict[str, Any]:
    """A thread whose model has done what the script says, with these tools."""
    return await answered(client, script, model_profile="script", tools=list(names))


async def declare(client: httpx.AsyncClient, name: str, **spec: Any) -> str:
    """Apply a Tool; by default it deletes an order once a person approved it."""
    http = {"connection": "shop", "method": "DELETE", "path": "/orders/{order_id}"}
    given = {
        "description": "Deletes an order.",
        "inputSchema": ORDER,
        "approval": "always",
        "http": http,
        **spec,
    }
    await post(client, "apply", manifest("Tool", name, given))
    return name
