"""Flows from manifests over HTTP, with a real worker."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from app.access.caller import Caller, KeyScope
from app.access.service import CreatedKey
from app.catalog.revisions import save_flow
from tests.sessions.test_sessions import polled
from tests.support.http import NewKey

FLOWS = Path(__file__).parents[2] / "bench" / "flows"


@pytest.fixture
async def flows(api: FastAPI, client: httpx.AsyncClient, new_key: NewKey) -> None:
    """The benchmark's flows, saved in the client's org."""
    key = await new_key()
    for path in sorted(FLOWS.glob("*.yaml")):
        manifest = yaml.safe_load(path.read_text())
        await save(api, key, manifest["metadata"]["name"], manifest["spec"])


async def save(
    api: FastAPI,
    key: CreatedKey,
    name: str,
    spec: dict[str, Any],
    invokers: Collection[str] = ("verbatim", "echo"),
) -> None:
    caller = Caller(key.org_id, key.user_id, "", key.key_id, frozenset({KeyScope.ADMIN}))
    async with api.state.database.transaction() as db:
        await save_flow(
            db,
            caller,
            name,
            spec,
            description=None,
            invokers=invokers,
            reserved_keys=frozenset(),
            keep=api.state.settings.revisions,
        )


async def say(client: httpx.AsyncClient, flow: str, session_id: str, text: str) -> dict[str, Any]:
    sent = await client.post(
        f"/v1/ai/{flow}/event",
        json={"session_id": session_id, "event": "user_input", "event_input": text},
    )
    assert sent.status_code == 200, sent.text
    assert sent.json()["next_actions"] == ["poll"]
    return await polled(client, flow, session_id)


async def test_the_flows_of_the_benchmark(
    client: httpx.AsyncClient, flows: None, worker: None
) -> None:
    expected = {
        "qa": "qa:hi",
        "chain": "c3:c2:c1:hi",
        "fan": json.dumps([f"{i}:v{i}:hi" for i in range(8)]),
    }
    for flow, response in expected.items():
        started = await client.post(f"/v1/ai/{flow}/start_session", json={})
        assert started.status_code == 200, started.text
        session = started.json()
        assert session["response"] == "Welcome to the benchmark. Ask me anything."
        answer = await say(client, flow, session["session_id"], "hi")
        assert answer["error"] is None
        assert answer["response"] == response
        assert answer["next_actions"] == ["user_input"]


GUARDED = """
statechart:
  states:
    asking: {initial: true, transitions: [{event: user_input, target: checking}]}
    checking: {transitions: [{event: checked, target: done, cond: "parsed_actor_input.ok == true"}]}
    done: {final: true}
templates:
  asking: Say it.
  checking: {invoke: verbatim, template: "{{ actor_input }}"}
  done: Done.
"""


async def test_a_flow_that_takes_neither_result_nor_failure_is_put_back(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    await save(api, await new_key(), "guarded", yaml.safe_load(GUARDED))
    session = (await client.post("/v1/ai/guarded/start_session", json={})).json()
    answer = await say(client, "guarded", session["session_id"], "no")
    assert answer["next_actions"] == ["user_input"]
    assert "checked" in answer["error"]
    answer = await say(client, "guarded", session["session_id"], '{"ok": true}')
    assert answer["response"] == "Done."
    assert answer["error"] is None


INVOKING_AT_ONCE = """
statechart:
  states:
    working:
      initial: true
      transitions: [{event: worked, target: asking}, {event: error, target: asking}]
    asking: {transitions: [{event: user_input, target: working}]}
templates:
  working: {invoke: verbatim, template: "{{ actor_input }}"}
  asking: Say it.
"""


async def test_no_event_starts_a_session_of_which_an_invocation_is_to_end_first(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey
) -> None:
    await save(api, await new_key(), "at_once", yaml.safe_load(INVOKING_AT_ONCE))
    refused = await client.post("/v1/ai/at_once/start_ephemeral_session", json={"event": "error"})
    assert refused.status_code == 409, refused.text
    assert refused.json()["current_state"] == "working"
    started = await client.post("/v1/ai/at_once/start_session", json={})
    assert started.json()["next_actions"] == ["poll"]


FAILING_ROUND = """
statechart:
  states:
    asking: {initial: true, transitions: [{event: user_input, target: working}]}
    working: {transitions: [{event: worked, target: asking}, {event: error, target: instead}]}
    instead: {transitions: [{event: replaced, target: asking}, {event: error, target: working}]}
templates:
  asking: Say it.
  working: {invoke: verbatim, template: "{{ 1 // 0 }}"}
  instead: {invoke: verbatim, template: "{{ 1 // 0 }}"}
"""


async def test_failures_that_lead_to_each_other_end_where_somebody_can_act(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    await save(api, await new_key(), "round", yaml.safe_load(FAILING_ROUND))
    session = (await client.post("/v1/ai/round/start_session", json={})).json()
    for _ in range(2):
        answer = await say(client, "round", session["session_id"], "hi")
        assert answer["next_actions"] == ["user_input"]
        assert answer["error"]
    failed = await api.state.database.pool.fetch("SELECT state FROM invocation ORDER BY id")
    assert [row["state"] for row in failed] == ["working", "instead"] * 2
