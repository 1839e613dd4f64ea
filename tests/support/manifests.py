"""Manifests over HTTP, as tests send them."""

import json
from typing import Any

import httpx
import yaml

CLI = "/api/v1/cli"


async def post(client: httpx.AsyncClient, path: str, body: Any = None, **params: Any) -> Any:
    """The answer of a verb that succeeds."""
    response = await send(client, path, body, **params)
    assert response.status_code == 200, response.text
    return response.json()


async def send(
    client: httpx.AsyncClient, path: str, body: Any = None, **params: Any
) -> httpx.Response:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return await client.post(
        f"{CLI}/{path}/",
        params=params,
        content=b"" if body is None else text,
        headers={"Content-Type": "application/json"},
    )


def manifest(kind: str, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> Any:
    return {
        "apiVersion": "statewright/v1",
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec or {},
    }


async def apply_entity(
    client: httpx.AsyncClient, kind: str, name: str, spec: dict[str, Any] | None = None
) -> str:
    """The id of a Dataset, Device or Collection that is there afterwards."""
    applied = await post(client, "apply", manifest(kind, name, spec))
    entity_id: str = applied["data"]["manifest"]["status"]["id"]
    return entity_id


def secret(name: str = "key", value: str = "hunter2-very-secret", **config: Any) -> Any:
    return manifest("Secret", name, {"config": {"value": value, **config}})


def provider(name: str = "models", key: str = "key") -> Any:
    return manifest("Provider", name, {"type": "openai", "model": "m", "apiKey": key})


def many(*documents: Any) -> str:
    return yaml.safe_dump_all(documents)
