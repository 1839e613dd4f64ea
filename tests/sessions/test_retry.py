"""Resuming what failed: only what failed is done again, once, and the session is as it was."""

import asyncio
import copy
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db.engine import Database
from app.settings import Settings
from tests.sessions.test_sessions import polled
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session
from tests.support.http import NewKey
from tests.support.manifests import post, send
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import use_model
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
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    use_model(settings, model)
    settings.flows_package = "tests.support.engine_flows"
    settings.session.expire_sweep_seconds = 0.2
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


async def test_a_result_that_the_flow_did_not_take_is_made_again(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    spec = copy.deepcopy(SPEC)
    last = spec["statechart"]["states"]["working"]["transitions"][0]
    last["cond"] = "parsed_actor_input.ok"
    await save(api, await new_key(), "twice", spec, invokers={"llm"})
    session_id = (await client.post("/v1/ai/twice/start_session", json={})).json()["session_id"]
    model.script(Reply(text="one"), Reply(text="no JSON"), Reply(text='{"ok": true}'))
    event = {"session_id": session_id, "event": "go", "event_input": "hi"}
    await client.post("/v1/ai/twice/event", json=event)
    assert "not taken" in (await polled(client, "twice", session_id))["error"]

    assert (await retry(client, session_id)).status_code == 200
    ended = await polled(client, "twice", session_id)

    assert (ended["error"], ended["response"]) == (None, '{"ok": true}')
    assert len(model.requests) == 3


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


def with_policy(**invoke: Any) -> dict[str, Any]:
    """The flow with one step, whose template says more."""
    working = {"invoke": "llm", "template": "{{ actor_input }}", **invoke}
    return SPEC | {"templates": SPEC["templates"] | {"working": working}}


SERVER_ERROR, NOT_FOUND, BUSY = (Reply(status=status) for status in (500, 404, 429))


async def test_a_policy_says_what_is_tried_again_and_how_often(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    """Each case: what a template says, what the model does, and how many requests came of it."""
    key = await new_key()
    slow, cut = Reply(delay=0.6), Reply(text="one two three", cut_after=1)
    cases: list[tuple[dict[str, Any], list[Reply], int]] = [
        ({"retry": {"maximum_attempts": 6}}, [SERVER_ERROR] * 5, 6),
        ({"retry": {"maximum_attempts": 2}}, [SERVER_ERROR] * 2, 2),
        ({"retries": 1}, [SERVER_ERROR] * 2, 2),
        ({"retry": {"on": ["timeout", 429]}}, [SERVER_ERROR], 1),
        ({"retry": {"on": ["timeout", 429]}}, [BUSY], 2),
        ({"retry": {"on": ["timeout"]}, "timeout": 0.3}, [slow], 2),
        ({"retry": {"on": ["5xx"]}, "timeout": 0.3}, [slow], 1),
        ({"retry": {"on": ["connection"]}}, [cut], 2),
        ({"retry": {"on": ["5xx", "404"]}}, [NOT_FOUND, SERVER_ERROR], 3),
        ({"retry": {}}, [NOT_FOUND], 1),
    ]
    for number, (says, replies, requests) in enumerate(cases):
        flow = f"case-{number}"
        await save(api, key, flow, with_policy(**says), invokers={"llm"})
        model.requests.clear()
        model.script(*replies)
        start = {"event": "go", "event_input": "hi"}
        started = await client.post(f"/v1/ai/{flow}/start_ephemeral_session", json=start)
        ended = await polled(client, flow, started.json()["session_id"])
        answered = requests > len(replies)
        assert (len(model.requests), ended["error"] is None) == (requests, answered), says


@pytest.mark.usefixtures("worker")
async def test_waits_are_the_policys(
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    model: OpenAiServer,
    database: Database,
) -> None:
    policy = {"initial_interval": 300, "backoff_coefficient": 1}
    await save(api, await new_key(), "twice", with_policy(retry=policy), invokers={"llm"})
    model.script(SERVER_ERROR)
    start = {"event": "go", "event_input": "hi"}
    await client.post("/v1/ai/twice/start_ephemeral_session", json=start)

    query = "SELECT extract(epoch FROM run_after - now())::float FROM step WHERE failures > 0"
    async with asyncio.timeout(10):
        while (wait := await database.pool.fetchval(query)) is None:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.05)

    assert 140 < wait <= 300


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("asks", ["2", None])
async def test_a_wait_longer_than_the_invocation_has_left_fails_at_once(
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    model: OpenAiServer,
    *,
    settings: Settings,
    asks: str | None,
) -> None:
    """Whether the server asks for the wait, or the policy has it."""
    settings.step.invocation_seconds = 3
    policy = {"initial_interval": 0.01 if asks else 60}
    await save(api, await new_key(), "twice", with_policy(retry=policy), invokers={"llm"})
    headers = {"Retry-After": asks} if asks else {}
    model.script(Reply(status=429, delay=1.2, headers=headers))
    start = {"event": "go", "event_input": "hi"}
    started = await client.post("/v1/ai/twice/start_ephemeral_session", json=start)

    ended = await polled(client, "twice", started.json()["session_id"])

    assert "429" in ended["error"]
    assert "not to be asked again before 20" in ended["error"]


@pytest.mark.usefixtures("worker")
async def test_a_step_on_a_queue_that_nobody_serves_ends(
    api: FastAPI,
    client: httpx.AsyncClient,
    new_key: NewKey,
    settings: Settings,
) -> None:
    settings.step.invocation_seconds = 0.5
    step = {"queue": "nobodys", "template": "{{ actor_input }}"}
    spec = SPEC | {"templates": SPEC["templates"] | {"working": step}}
    await save(api, await new_key(), "twice", spec, invokers={"llm"})
    start = {"event": "go", "event_input": "hi"}
    started = await client.post("/v1/ai/twice/start_ephemeral_session", json=start)
    session_id = started.json()["session_id"]

    ended = await polled(client, "twice", session_id)

    assert ended["error"] == (
        "Not done within 0.5 seconds. Is there a worker for each of its queues?"
    )
    assert ended["next_actions"] == ["go"]
    assert await listed(client) == [session_id]
    event = {"session_id": session_id, "event": "go", "event_input": "again"}
    again = await client.post("/v1/ai/twice/event", json=event)
    assert (again.status_code, again.json()["error"]) == (200, None)


async def test_a_state_that_takes_the_event_error_says_what_follows(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, worker: None, model: OpenAiServer
) -> None:
    states = SPEC["statechart"]["states"]
    working = states["working"]["transitions"]
    spec = {
        **SPEC,
        "statechart": {
            "states": {
                **states,
                "working": {"transitions": [*working, {"event": "error", "target": "sorry"}]},
                "sorry": {"transitions": [{"event": "go", "target": "working"}]},
            }
        },
        "templates": SPEC["templates"] | {"sorry": "It failed: {{ actor_input }}"},
    }
    await save(api, await new_key(), "twice", spec, invokers={"llm"})
    session_id = await fail(client, model)

    ended = await polled(client, "twice", session_id)
    model.script(Reply(text="one"), Reply(text="two"))
    await retry(client, session_id)
    retried = await polled(client, "twice", session_id)

    assert ended["response"] == "It failed: the model answered 400: odd"
    assert ended["error"] == "the model answered 400: odd"
    assert (retried["response"], retried["error"]) == ("two", None)


@pytest.mark.usefixtures("worker")
async def test_what_a_failure_stored_is_gone_with_it(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    session = await Session.start(client, "storing")
    model.script(Reply(text="one"), Reply(status=400), Reply(text="two"))
    await session.send("go", "a")
    assert (await session.send("go", "b"))["error"]
    assert await session.model("secondary_store.*.text") == ["one", ""]

    retried = await client.post(f"/v1/ai/storing/sessions/{session.id}/retry")

    assert retried.status_code == 200
    while (ended := await session.poll())["next_actions"] == ["poll"]:
        pass
    assert (ended["error"], ended["response"]) == (None, "2")
    assert await session.model("secondary_store.*.text") == ["one", "two"]
