"""Lists of resources: chosen by labels, page by page, with their manifests."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.support.manifests import manifest, many, post, send

STATES = {"a": {"initial": True, "transitions": [{"event": "go", "target": "b"}]}, "b": {}}
FLOW = {"statechart": {"states": STATES}, "templates": {"a": "x", "b": "y"}}
SPECS: dict[str, Any] = {"Dataset": {}, "Flow": FLOW}  # found in SQL, and in Python
LABELS: dict[str, dict[str, str]] = {
    "a": {"env": "prod", "tier": "front"},
    "b": {"env": "prod"},
    "c": {"env": "test", "example.com/owner": "ann"},
    "d": {},
}


async def names(client: httpx.AsyncClient, kind: str, **query: Any) -> list[str]:
    table = (await post(client, f"get/{kind}", **query))["data"]
    return [item["name"] for item in table["data"]["items"]]


@pytest.mark.parametrize("kind", SPECS)
async def test_labels_choose(client: httpx.AsyncClient, kind: str) -> None:
    await post(
        client,
        "apply",
        many(
            *(manifest(kind, name, SPECS[kind], labels=labels) for name, labels in LABELS.items())
        ),
    )

    for selector, expected in {
        "env=prod": "ab",
        "env==prod, tier=front": "a",
        "env!=prod": "cd",
        "env in (prod, test)": "abc",
        "env notin (prod,test)": "d",
        "env notin (prod)": "cd",
        "tier": "a",
        "!tier": "bcd",
        "env,!tier": "bc",
        "example.com/owner=ann": "c",
        "env=": "",
    }.items():
        assert await names(client, kind, selector=selector) == list(expected), selector


async def test_sessions_have_no_labels(client: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert (await client.post("/v1/ai/threads", json=body)).status_code == 201

    assert await names(client, "sessions", selector="env") == []
    assert len(await names(client, "sessions", selector="!env")) == 1


@pytest.mark.parametrize(
    "selector",
    [
        *("=x", "a=b=c", "a in b", "a in (b", "a b", "-a=1", "a=b c", ",", "a,", "A/b=1", "a>1"),
        ",".join(["a"] * 21),  # each is looked for in the metadata of each row
    ],
)
async def test_a_wrong_selector_is_refused(client: httpx.AsyncClient, selector: str) -> None:
    refused = await send(client, "get/datasets", selector=selector)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["loc"] == ["query", "selector"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "x"),
        ("a b", "x"),
        ("-a", "x"),
        ("a" * 64, "x"),
        ("A.b/c", "x"),
        (f"{'a' * 254}/c", "x"),
        ("/c", "x"),
        ("a", "x y"),
        ("a", "x" * 64),
        ("a", "-x"),
    ],
)
async def test_labels_are_as_kubernetes_has_them(
    client: httpx.AsyncClient, key: str, value: str
) -> None:
    refused = await send(client, "apply", manifest("Dataset", "d", labels={key: value}))

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["loc"][:2] == ["metadata", "labels"]
    fine = {"example.com/a_B.c-1": "x", "b": "", "c": "1.0_x-y"}
    await post(client, "apply", manifest("Dataset", "d", labels=fine))


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("order", [{}, {"desc": "true"}, {"asc": "modified"}, {"desc": "modified"}])
async def test_pages_hold_each_once(
    client: httpx.AsyncClient, kind: str, order: dict[str, str]
) -> None:
    await post(client, "apply", many(*(manifest(kind, f"d{n}", SPECS[kind]) for n in range(7))))

    found: list[str] = []
    query = {"i": 3, **order}
    while True:
        table = (await post(client, f"get/{kind}", **query))["data"]
        found += [item["name"] for item in table["data"]["items"]]
        assert table["metadata"]["count"] == len(table["data"]["items"])
        if (token := table["metadata"].get("nextToken")) is None:
            break
        query["page_token"] = token

    assert len(found) == len(set(found)) == 7
    assert found == await names(client, kind, **order)


async def test_a_page_goes_on_after_empty_values(client: httpx.AsyncClient, api: FastAPI) -> None:
    said = [{"role": "user", "content": [{"text": "Hi"}]}]
    for title in ("b", None, "a", None):
        made = await client.post("/v1/ai/threads", json={"messages": said})
        await api.state.database.pool.execute(
            "UPDATE session SET title = $1 WHERE id = $2", title, made.json()["data"]["thread_id"]
        )

    for order in ({"asc": "error"}, {"desc": "error"}, {"asc": "title"}, {"desc": "title"}):
        found, query = [], {"i": 1, **order}
        while True:
            table = (await post(client, "get/sessions", **query))["data"]
            found += [item["name"] for item in table["data"]["items"]]
            if (token := table["metadata"].get("nextToken")) is None:
                break
            query["page_token"] = token
        assert found == await names(client, "sessions", **order)


@pytest.mark.parametrize(
    "token", ["x", "WyJuYW1lIl0", "WyJuYW1lIiwiVHJ1ZSIsImEiLCJiIiwiYyJd", "W10"]
)
async def test_a_token_that_is_none_is_refused(client: httpx.AsyncClient, token: str) -> None:
    for kind in SPECS:
        assert (await send(client, f"get/{kind}", page_token=token)).status_code == 400


async def test_a_token_of_another_order_is_refused(client: httpx.AsyncClient) -> None:
    await post(client, "apply", many(*(manifest("Dataset", f"d{n}") for n in range(2))))
    token = (await post(client, "get/datasets", i=1))["data"]["metadata"]["nextToken"]

    refused = await send(client, "get/datasets", page_token=token, desc="created")
    assert refused.status_code == 400


@pytest.mark.parametrize("kind", ["Dataset", "Flow", "AuthToken"])
async def test_manifests_come_with_the_list(client: httpx.AsyncClient, kind: str) -> None:
    await post(client, "apply", (await post(client, f"example-manifest/{kind}"))["data"])

    table = (await post(client, f"get/{kind}", manifests="true"))["data"]
    for item, shown in zip(table["data"]["items"], table["data"]["manifests"], strict=True):
        described = (await post(client, f"describe/{kind}", name=item["name"]))["data"]
        assert shown == described
    assert "manifests" not in (await post(client, f"get/{kind}"))["data"]["data"]
