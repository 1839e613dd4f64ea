"""What was written comes back with its keys in the order in which they were written."""

from typing import Any

import httpx
import pytest
from asyncpg import Record
from fastapi import FastAPI

from tests.support.manifests import post, secret

# Each spec is written against the order that the service, jsonb and the alphabet would choose.
METADATA = {
    "version": "1.0.0",
    "annotations": {"zz": "1", "a": "2", "m": "3"},
    "name": "ordered",
    "labels": {"team": "x", "b": "y"},
    "description": "in order",
    "tags": ["z", "a"],
}
SPECS: dict[str, Any] = {
    "Dataset": {"properties": {"zeta": {"yy": 1, "x": [{"bb": 1, "a": 2}]}, "a": 1, "mm": None}},
    "Device": {"properties": {"long-name": 1, "b": {"d": 1, "c": 2}}},
    "Collection": {"properties": {"z": 1, "a": 2}, "contentType": "file"},
    "Provider": {
        "model": "m",
        "parameters": {"maxTokens": 5, "temperature": 0.5},
        "type": "openai",
        "baseUrl": "https://models.example.com/v1",
    },
    "ApiConnection": {
        "connection": {
            "headers": {"X-Zeta": "1", "Accept": "a", "X-Key": {"secret": "key"}},
            "timeout": 5.0,
            "authMethod": "token",
            "apiKey": "key",
            "baseUrl": "https://api.example.com",
        }
    },
    "Flow": {
        "templates": {"waiting": "{{ actor_input }}", "a": {"template": "x", "invoke": "llm"}},
        "statechart": {
            "states": {
                "waiting": {
                    "transitions": [{"target": "a", "event": "user_input"}],
                    "initial": True,
                },
                "a": {"transitions": [{"target": "waiting", "event": "ai_answer"}]},
            }
        },
        "model": {"zip": {"type": "string", "default": ""}, "age": {"type": "integer"}},
    },
    "Agent": {
        "variables": [
            {"default": "x", "required": False, "name": "topic"},
            {"description": "who", "name": "actor"},
        ],
        "flow": "chat",
        "requestTemplate": {
            "visibility": "org",
            "systemPrompt": "About {{topic}} for {{actor}}.",
            "clientContext": {
                "tableState": {"z": 1, "a": {"y": 1, "b": 2}},
                "datasetIds": ["d"],
            },
            "messages": [{"content": [{"text": "hi", "contentType": "text"}], "role": "user"}],
        },
    },
    "AuthToken": {"scopes": ["read"], "user": "robot@example.com"},
    "Secret": {"config": {"expirationDate": "2099-01-01T00:00:00+00:00", "value": "v"}},
    "Skill": {
        "tags": ["z", "a"],
        "relevantTopics": ["/z", "/a"],
        "body": "b",
        "accessibility": "org",
        "description": "d",
    },
    "Tool": {
        "timeout": 5.0,
        "effect": "read",
        "http": {"path": "/z/{z}", "arguments": {"b": "query", "a": "header"}, "method": "GET"}
        | {"connection": "ordered"},
        "description": "d",
        "approval": {"when": "a > 1"},
        "inputSchema": {
            "required": ["z", "a"],
            "type": "object",
            "properties": {"z": {"type": "string"}, "b": {}, "a": {"title": "a", "minimum": 1}},
        },
        "example": {"z": "1", "b": 2, "a": 3},
    },
    "Account": {},
    "User": {},
}
NAMES = {"Account": "Acme", "User": "robin@example.com"}


def keys(value: Any) -> Any:
    """The order of all keys, without the values."""
    if isinstance(value, dict):
        return [(key, keys(item)) for key, item in value.items()]
    return [keys(item) for item in value] if isinstance(value, list) else None


def written(kind: str) -> dict[str, Any]:
    metadata = METADATA | {"name": NAMES.get(kind, "ordered")}
    return {
        "apiVersion": "statewright/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": SPECS[kind],
    }


def among(shown: Any, original: Any) -> Any:
    """What is shown, without keys that were not written; those must stand behind the others."""
    if isinstance(shown, dict):
        if isinstance(original, dict):
            kept = [key for key in shown if key in original]
            assert list(shown)[: len(kept)] == kept
            return {key: among(shown[key], original[key]) for key in kept}
        return shown
    if isinstance(shown, list):
        return [among(one, other) for one, other in zip(shown, original, strict=True)]
    return shown


@pytest.mark.parametrize("kind", SPECS)
async def test_describe_has_the_order_that_was_applied(
    client: httpx.AsyncClient, kind: str
) -> None:
    document = written(kind)
    if kind in ("ApiConnection", "Tool"):
        await post(client, "apply", secret())
    if kind == "Tool":
        await post(client, "apply", written("ApiConnection"))
    applied = (await post(client, "apply", document))["data"]["manifest"]
    described = (await post(client, f"describe/{kind}", name=document["metadata"]["name"]))["data"]

    expected = {part: keys(document[part]) for part in ("metadata", "spec")}
    if kind == "Secret":
        expected["spec"] = [("config", [("expirationDate", None)])]
    for shown in (applied, described):
        for part in ("metadata", "spec"):
            assert keys(among(shown[part], document[part])) == expected[part]


@pytest.mark.parametrize("kind", ["Dataset", "Flow", "Agent", "Provider", "Skill"])
async def test_another_order_alone_changes_nothing(client: httpx.AsyncClient, kind: str) -> None:
    document = written(kind)
    first = (await post(client, "apply", document))["data"]["manifest"]

    again = (await post(client, "apply", _reversed(document)))["data"]

    assert (again["operation"], again["diff"]) == ("unchanged", [])
    assert keys(again["manifest"]["spec"]) == keys(first["spec"])
    assert again["manifest"]["metadata"]["resourceVersion"] == "1"


@pytest.mark.parametrize("kind", ["Dataset", "Flow", "Agent", "Provider", "Skill"])
async def test_a_change_takes_the_new_order_everywhere(
    client: httpx.AsyncClient, kind: str
) -> None:
    await post(client, "apply", written(kind))
    document = _reversed(written(kind))
    document["metadata"]["description"] = "changed"

    assert (await post(client, "apply", document))["data"]["operation"] == "updated"
    described = (await post(client, f"describe/{kind}", name="ordered"))["data"]

    for part in ("metadata", "spec"):
        assert keys(among(described[part], document[part])) == keys(document[part])


async def test_the_changes_of_a_diff_are_in_order(client: httpx.AsyncClient) -> None:
    document = written("Dataset")
    await post(client, "apply", document)
    document["spec"] = {"properties": {"zeta": "replaced"}}

    diff = (await post(client, "apply", document, dry_run=True))["data"]["diff"]

    [zeta] = [change for change in diff if change["path"] == "/spec/properties/zeta"]
    assert keys(zeta["from"]) == keys(SPECS["Dataset"]["properties"]["zeta"])


async def test_an_agent_made_by_its_own_endpoint_keeps_the_order(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    template = {
        "visibility": "org",
        "system_prompt": "About {{topic}}.",
        "context": {"table_state": {"z": 1, "a": 2}, "file_ids": [], "dataset_ids": ["d"]},
        "messages": [{"content": [{"text": "hi", "content_type": "text"}], "role": "user"}],
    }
    variables = [{"default": "x", "required": False, "name": "topic"}]
    body = {"name": "ordered", "request_template": template, "variables": variables}

    made = (await client.post("/v1/ai/agents", json=body)).json()["data"]
    url = f"/v1/ai/agents/{made['agent_id']}"
    found = (await client.get(url)).json()["data"]
    [revision] = (await client.get(f"{url}/revisions")).json()["data"]["items"]
    described = (await post(client, "describe/agent", name="ordered"))["data"]

    expected = keys({key.replace("context", "client_context"): template[key] for key in template})
    for shown in (made, found, revision):
        assert keys(shown["request_template"]) == expected
        assert list(shown["variables"][0])[:3] == ["default", "required", "name"]
    spec = described["spec"]["requestTemplate"]
    assert list(spec) == ["visibility", "systemPrompt", "clientContext", "messages"]
    assert list(spec["clientContext"]) == ["tableState", "fileIds", "datasetIds"]
    assert list(spec["clientContext"]["tableState"]) == ["z", "a"]


async def test_rows_that_the_release_before_writes_are_read(
    client: httpx.AsyncClient, api: FastAPI
) -> None:
    """It binds jsonb, and knows no order of keys."""
    await post(client, "apply", written("Dataset"))
    pool = api.state.database.pool
    changed: Record = await pool.fetchrow(
        "UPDATE entity SET properties = properties::jsonb || $1::jsonb, key_order = NULL"
        " RETURNING properties",
        {"a": 2},
    )
    assert changed["properties"]["a"] == 2

    described = (await post(client, "describe/dataset", name="ordered"))["data"]

    assert described["spec"]["properties"]["a"] == 2


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value
