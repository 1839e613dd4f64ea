"""Lists of large documents are answered in pages of bounded bytes."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.settings import Settings
from app.settings.http import ListSettings
from tests.support.threads import data, said

PAGE = 20_000
SIZE = 6_000
AGENTS = "/v1/ai/agents"


@pytest.fixture
def api(api: FastAPI, settings: Settings) -> FastAPI:
    limits = ListSettings(page_bytes=PAGE)
    api.state.settings = settings.model_copy(update={"lists": limits})
    return api


def agent(name: str, size: int = SIZE) -> dict[str, Any]:
    return {"name": name, "request_template": {"messages": [said("x" * size)]}}


async def sizes_of_pages(
    client: httpx.AsyncClient, path: str, **params: Any
) -> tuple[list[str], list[int]]:
    """The names on all pages, and how many are on each."""
    names: list[str] = []
    sizes, token = [], ""
    while token is not None:
        more = {"page_token": token} if token else {}
        answer = await client.get(path, params={**params, **more})
        assert len(answer.content) < PAGE * 3
        page = data(answer)
        names += [item["name"] for item in page["items"]]
        sizes.append(len(page["items"]))
        token = page["next_token"]
    return names, sizes


async def test_agents_and_their_revisions_are_listed_by_bytes(client: httpx.AsyncClient) -> None:
    for n in range(5):
        made = data(await client.post(AGENTS, json=agent(f"a{n}")), 201)
    data(await client.post(AGENTS, json=agent("large", PAGE * 2)), 201)
    found = await sizes_of_pages(client, AGENTS, limit=50)
    assert found == (["large", "a4", "a3", "a2", "a1", "a0"], [1, 3, 2])

    url = f"{AGENTS}/{made['agent_id']}"
    for n in range(4):
        data(await client.put(url, json=agent(f"r{n}")))
    found = await sizes_of_pages(client, f"{url}/revisions", limit=50)
    assert found == (["r3", "r2", "r1", "r0", "a4"], [3, 2])


async def test_manifests_are_got_by_bytes(client: httpx.AsyncClient) -> None:
    for n in range(5):
        data(await client.post(AGENTS, json=agent(f"a{n}")), 201)
    names: list[str] = []
    sizes, token = [], ""
    while token is not None:
        params = {"i": 100, "manifests": True, **({"page_token": token} if token else {})}
        answer = await client.post("/api/v1/cli/get/agents/", params=params)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < PAGE * 2
        got = answer.json()["data"]
        names += [item["name"] for item in got["data"]["items"]]
        sizes.append(len(got["data"]["items"]))
        token = got["metadata"].get("nextToken")
    assert (names, sizes) == ([f"a{n}" for n in range(5)], [3, 2])


async def test_a_history_reads_no_documents_and_undo_finds_the_one(
    client: httpx.AsyncClient,
) -> None:
    made = data(await client.post(AGENTS, json=agent("a")), 201)
    data(await client.put(f"{AGENTS}/{made['agent_id']}", json=agent("a", 10)))
    listed = await client.post("/api/v1/cli/history/agent/", params={"name": "a"})
    assert [item["revision"] for item in listed.json()["data"]["data"]["items"]] == [2, 1]
    undone = await client.post("/api/v1/cli/undo/agent/", params={"name": "a"})
    assert undone.status_code == 200, undone.text
    again = data(await client.get(f"{AGENTS}/{made['agent_id']}"))
    assert again["request_template"]["messages"][0]["content"][0]["text"] == "x" * SIZE
