"""No endpoint passes over a query parameter that it does not have."""

import re

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api import health
from app.main import ROUTERS
from tests.support.manifests import manifest, post, send

# Those that the OpenAPI document leaves out, too. The pages that show it are no endpoints.
ENDPOINTS = sorted(
    (method, route.path)
    for router in (*ROUTERS, health.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
)


async def test_every_endpoint_refuses_unknown_parameters(client: httpx.AsyncClient) -> None:
    taken = []
    for method, path in ENDPOINTS:
        url = re.sub(r"\{[^}]*\}", "x", path)
        response = await client.request(method, url, params={"dryRun": "true"}, json={})
        faults = [fault["loc"] for fault in response.json().get("errors", [])]
        if response.status_code != 400 or ["query", "dryRun"] not in faults:
            taken.append((method, path, response.status_code))

    assert ENDPOINTS
    assert taken == []


async def test_a_page_token_of_others_is_refused_in_words(client: httpx.AsyncClient) -> None:
    lists = [path for method, path in ENDPOINTS if method == "GET" and "{" not in path]
    refused = [(await client.get(path, params={"page_token": "x"})).json() for path in lists]
    faults = [answer["errors"] for answer in refused if "errors" in answer]

    pages = [fault for [fault] in faults if "unknown query parameter" not in fault["msg"]]
    text = "The page token is not one that this service gave out."
    assert len(pages) >= 6
    assert pages == [{"loc": ["query", "page_token"], "msg": text}] * len(pages)


async def test_a_misspelt_dry_run_changes_nothing(client: httpx.AsyncClient) -> None:
    await post(client, "apply", manifest("Dataset", "kept"))

    refused = await send(client, "delete/dataset", name="kept", dryRun="true")
    applied = await send(client, "apply", manifest("Dataset", "new"), dryrun="true")

    assert refused.status_code == applied.status_code == 400
    assert "dry_run" in refused.json()["detail"]
    assert "name" in refused.json()["detail"]
    assert [
        item["name"] for item in (await post(client, "get/dataset"))["data"]["data"]["items"]
    ] == ["kept"]


async def test_refusals_stay_small(client: httpx.AsyncClient, api: FastAPI) -> None:
    query = "&".join(f"{n:03}{'x' * 50}=1" for n in range(200))

    refused = await client.get(f"/v1/ai/agents?{query}")

    assert refused.status_code == 400
    assert len(refused.content) < 20_000
