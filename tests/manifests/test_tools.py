"""Kind Tool: what does not fit together is refused at apply, with its place."""

from typing import Any

import httpx
import pytest

from tests.support.manifests import manifest, post, send

SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": "string"}, "page": {"type": "integer"}, "x y": {}},
    "required": ["order_id"],
}
HTTP = {"connection": "shop", "method": "GET", "path": "/orders/{order_id}"}
SPEC = {"description": "An order.", "inputSchema": SCHEMA, "http": HTTP}


def http(**members: Any) -> dict[str, Any]:
    return {"http": HTTP | members}


@pytest.fixture
async def shop(client: httpx.AsyncClient) -> None:
    connection = {"connection": {"baseUrl": "https://shop.example.com"}}
    await post(client, "apply", manifest("ApiConnection", "shop", connection))


async def test_a_tool_whose_parts_do_not_fit_together_is_refused(
    client: httpx.AsyncClient, shop: None
) -> None:
    places, path = ["spec", "http", "arguments"], ["spec", "http", "path"]
    wrong: list[tuple[dict[str, Any], list[Any], str]] = [
        (http(connection="none"), ["spec", "http", "connection"], "names no ApiConnection"),
        (http(method="FETCH"), ["spec", "http", "method"], "GET"),
        (http(path="/../admin"), path, ".. segments"),
        (http(path="/a b"), path, "spaces"),
        (http(path="/orders/{nothing}"), path, "no property 'nothing'"),
        (http(path="/orders/{page}"), path, "must require 'page'"),
        (http(path="/orders/{order_id"), path, "brace stands alone"),
        (http(path="/orders?id={order_id}"), path, "by `arguments`"),
        (http(path="/{order_id}?page=1"), path, "the path fixes 'page'"),
        (http(arguments={"none": "query"}), [*places, "none"], "no such property"),
        (http(arguments={"page": "path"}), [*places, "page"], "no place {page}"),
        (http(arguments={"order_id": "query"}), [*places, "order_id"], "a place {order_id}"),
        (http(arguments={"page": "body"}), [*places, "page"], "a GET has no body"),
        (http(arguments={"x y": "header"}), [*places, "x y"], "letters, digits and dashes"),
        (http(arguments={"page": "cookie"}), [*places, "page"], "query"),
        ({"inputSchema": {"type": "array"}}, ["spec", "inputSchema"], "of an object"),
        ({"inputSchema": {"$ref": "http://x"}}, ["spec", "inputSchema"], "no JSON Schema"),
        ({"approval": {"when": "page >"}}, ["spec", "approval", "when"], "not a valid expression"),
        ({"approval": {"when": "price > 1"}}, ["spec", "approval", "when"], "price"),
        ({"example": {"page": 1}}, ["spec", "example"], "order_id"),
        ({"timeout": 0}, ["spec", "timeout"], "greater than 0"),
        ({"timeout": 601}, ["spec", "timeout"], "600"),
        ({"retries": 21}, ["spec", "retries"], "20"),
        ({"effect": "maybe"}, ["spec", "effect"], "read"),
        ({"description": ""}, ["spec", "description"], "at least 1"),
    ]
    for change, loc, says in wrong:
        refused = await send(client, "apply", manifest("Tool", "find", SPEC | change))
        assert refused.status_code == 400, (change, refused.text)
        [error] = refused.json()["errors"]
        assert (error["loc"], says in error["msg"]) == (loc, True), (change, error)
    for name in ("load_skill", "achieve_triage", "Find"):
        refused = await send(client, "apply", manifest("Tool", name, SPEC))
        assert refused.json()["errors"][0]["loc"] == ["metadata", "name"]


async def test_a_tool_is_shown_with_its_defaults_and_deleted(
    client: httpx.AsyncClient, shop: None
) -> None:
    approval = {"approval": {"when": "page > 3"}}
    await post(client, "apply", manifest("Tool", "find", SPEC | approval))
    shown = (await post(client, "describe/tool", name="find"))["data"]["spec"]
    defaults = {
        "effect": "write",
        "idempotent": False,
        "timeout": 30.0,
        "retries": 2,
        "onLargeResult": "cut",
    }
    assert shown == SPEC | approval | defaults | http(arguments={})
    item = (await post(client, "get/tools"))["data"]["data"]["items"][0]
    assert {key: item[key] for key in ("name", "effect", "connection", "method", "path")} == {
        "name": "find",
        "effect": "write",
        "connection": "shop",
        "method": "GET",
        "path": "/orders/{order_id}",
    }
    assert (await send(client, "delete/apiconnection", name="shop")).status_code == 409
    await post(client, "delete/tool", name="find")
    await post(client, "delete/apiconnection", name="shop")
