"""Resuming what failed: only what failed is done again, once, and the session is as it was."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.invokers.llm import load_provider
from app.settings import LlmSettings, Settings
from tests.sessions.test_sessions import polled
from tests.sessions.test_yaml_flows import save
from tests.support.http import NewKey
from tests.support.manifests import post, send
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.threads import THREADS, data

SPEC: dict[str, Any] = {
    "model": {"heard": {"type": ["string", "null"], "default": None}},
    "statechart": {
        "states": {
            "asking": {"initial": True, "transitions": [{"event": "go", "target": "working"}]},
            "working": {
                "transitions": [
                    {
                        "event": "done",
                        "target": "asking",
                        "on": [{"assign": {"location": "heard", "expr": "actor_input"}}],
                    }
                ]
            },
        }
    },
    "templates": {
        "asking": "{{ heard }}",
        "working": {
            "chain": [
                {"invoke": "llm", "template": "first {{ actor_input }}"},
                {"invoke": "llm", "template": "second {{ previous_result }}"},
            ]
        },
    },
}


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    load_provider("openai")
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    settings.llm = LlmSettings(
        provider="openai", base_url=model.base_url, model="test-model", api_key="secret-key"
    )
    settings.security.egress_allow = ["127.0.0.0/8"]
    return settings


async def retry(
    client: httpx.AsyncClient, session_id: str, key: str | None = None, **params: str
) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    url = f"/v1/ai/twice/sessions/{session_id}/retry"
    return await client.post(url, headers=headers, params=params)


async def fail(client: httpx.AsyncClient, model: OpenAiServer, *before: Reply) -> str:
    """A session of the flow whose turn fails, after some answers."""
    started = await client.post("/v1/ai/twice/start_session", json={})
    session_id: str = started.json()["session_id"]
    model.script(*before, Reply(status=400, message="odd"))
    event = {"session_id": session_id, "event": "go", "event_input": "hi"}
    await client.post("/v1/ai/twice/event", json=event)
    assert (await polled(client, "twice", session_id))["error"]
    return session_id


async def listed(client: httpx.AsyncClient) -> list[str]:
    """The ids of the failed threads, page by page."""
    found: list[str] = []
    token = ""
    while token is not None:
        params = {"failed": True, "limit": 2, "page_token": token}
        page = data(await client.get(THREADS, params=params))
        found += [thread["thread_id"] for thread in page["items"]]
        token = page["next_token"]
    return found


async def test_a_failed_turn_goes_on_from_the_step_that_failed(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    await save(api, await new_key(), "twice", SPEC, invokers={"llm"})
    session_id = (await client.post("/v1/ai/twice/start_session", json={})).json()["session_id"]
    model.script(Reply(text="one"), Reply(status=400, message="odd"), Reply(text="two"))
    assert (await retry(client, session_id)).status_code == 409
    event = {"session_id": session_id, "event": "go", "event_input": "hi"}
    await client.post("/v1/ai/twice/event", json=event)
    failed = await polled(client, "twice", session_id)
    assert failed["error"]
    assert failed["next_actions"] == ["go"]

    first, again = await retry(client, session_id, "k"), await retry(client, session_id, "k")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.json()["next_actions"] == ["poll"]
    ended = await polled(client, "twice", session_id)

    assert (ended["error"], ended["response"]) == (None, "two")
    asked = [request.body["messages"][-1]["content"] for request in model.requests]
    assert asked == ["first hi", "second one", "second one"]
    assert (await retry(client, session_id)).status_code == 409


async def test_a_retry_that_names_a_step_is_of_that_step(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    await save(api, await new_key(), "twice", SPEC, invokers={"llm"})
    session_id = await fail(client, model, Reply(text="one"))

    other = await retry(client, session_id, step="/0")
    model.script(Reply(text="two"))
    failed = await retry(client, session_id, step="/1")

    assert other.status_code == 409
    assert other.json()["type"].endswith("step-not-failed")
    assert "'/1'" in other.json()["detail"]
    assert failed.status_code == 200
    assert (await polled(client, "twice", session_id))["response"] == "two"


async def test_what_failed_is_listed_until_it_is_retried(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    await save(api, await new_key(), "twice", SPEC, invokers={"llm"})
    await client.post("/v1/ai/twice/start_session", json={})
    failed = [await fail(client, model) for _ in range(3)]
    newest_first = failed[::-1]

    assert await listed(client) == newest_first
    table = await post(client, "get/sessions", failed=True, flow="twice", i=1, asc="created")
    (item,) = table["data"]["data"]["items"]
    assert (item["name"], item["flow"], item["state"]) == (failed[0], "twice", "asking")
    assert "odd" in item["error"]
    for narrowed in ({"flow": "chat"}, {"agent": "nobody"}):
        table = await post(client, "get/sessions", failed=True, **narrowed)
        assert table["data"]["data"]["items"] == []
    users = await client.post("/v1/ai/twice/user_sessions", json={"failed": True})
    found = [(item["session_id"], "odd" in item["error"]) for item in users.json()["items"]]
    assert found == [(session_id, True) for session_id in newest_first]

    model.script(Reply(text="one"), Reply(text="two"))
    assert (await retry(client, failed[1])).status_code == 200
    assert (await polled(client, "twice", failed[1]))["error"] is None
    assert await listed(client) == [failed[2], failed[0]]


@pytest.mark.parametrize("kind", ["agents", "flows"])
async def test_only_sessions_are_narrowed(client: httpx.AsyncClient, kind: str) -> None:
    refused = await send(client, f"get/{kind}", failed=True)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["loc"] == ["query", "failed"]
