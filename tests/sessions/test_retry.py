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
from tests.support.openai_server import OpenAiServer, Reply

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


async def retry(client: httpx.AsyncClient, session_id: str, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post(f"/v1/ai/twice/sessions/{session_id}/retry", headers=headers)


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
