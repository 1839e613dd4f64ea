"""An answer that is made of several says that it is cut when any of them is."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.manifests.test_connections import apply, document
from tests.support.flows import Session
from tests.support.model_server import ModelServer, Said
from tests.support.providers import load_provider

PART_CUT = "A part of the answer ended at the limit of its length."


def asks(text: str) -> dict[str, Any]:
    return {"invoke": "used", "template": text}


def asks_both() -> dict[str, Any]:
    return {"chain": [asks("long"), asks("short")]}


CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "parallel": ({"parallel": {"a": asks("long"), "b": asks("short"), "c": asks("short")}}, True),
    "map": ({"map": {"over": "parsed_actor_input", "template": asks("{{ map_value }}")}}, True),
    "chain": (asks_both(), True),
    "last-part": ({"chain": [asks("short"), asks("long")]}, True),
    "nested": (
        {"chain": [{"parallel": {"a": asks_both(), "b": asks("short")}}, asks("short")]},
        True,
    ),
    "whole": ({"chain": [{"parallel": {"a": asks("short"), "b": asks("short")}}]}, False),
}


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    load_provider("openai")
    async with ModelServer() as server:
        server.answers = {"long": Said(finish="length"), "short": Said()}
        yield server


def flow(name: str, template: dict[str, Any]) -> dict[str, Any]:
    states = {
        "waiting": {"initial": True, "transitions": [{"event": "ask", "target": "working"}]},
        "working": {"transitions": [{"event": "done", "target": "waiting"}]},
    }
    templates = {"waiting": "{{ actor_input }}", "working": template}
    return document("Flow", name, {"statechart": {"states": states}, "templates": templates})


def provider(upstream: ModelServer) -> dict[str, Any]:
    spec = {"type": "openai", "baseUrl": upstream.base_url("openai"), "model": "m"}
    return document("Provider", "used", spec)


@pytest.mark.usefixtures("worker")
async def test_a_cut_part_of_an_answer_is_told_with_the_answer(
    client: httpx.AsyncClient, upstream: ModelServer
) -> None:
    flows = [flow(name, template) for name, (template, _) in CASES.items()]
    await apply(client, provider(upstream), *flows)
    for name, (_, is_cut) in CASES.items():
        session = await Session.start(client, name)
        answer = await session.send("ask", '["short", "long", "short"]')
        assert (answer["error"], answer["cut"]) == (None, is_cut), name
        thread = await client.get(f"/v1/ai/threads/{session.id}")
        blocks = thread.json()["data"]["messages"][-1]["content"]
        faults = [block["error_message"] for block in blocks if "error_message" in block]
        assert faults == ([PART_CUT] if is_cut else []), name
        if name == "map":  # nothing stays of an earlier turn
            assert (await session.send("ask", '["short"]'))["cut"] is False


@pytest.mark.usefixtures("worker")
async def test_a_part_that_was_cut_before_a_retry_is_still_cut_after_it(
    client: httpx.AsyncClient, upstream: ModelServer
) -> None:
    upstream.answers["ill"] = Said(raw='{"error": {"message": "odd", "code": 400}}')
    await apply(client, provider(upstream), flow("ill", {"chain": [asks("long"), asks("ill")]}))
    session = await Session.start(client, "ill")
    assert (await session.send("ask", "x"))["error"] is not None

    upstream.answers["ill"] = Said()
    retried = await client.post(f"/v1/ai/ill/sessions/{session.id}/retry", json={})
    assert retried.status_code == 200, retried.text
    while (answer := await session.poll())["next_actions"] == ["poll"]:
        pass

    assert (answer["error"], answer["cut"]) == (None, True)
    assert upstream.requests["long"] == 1
