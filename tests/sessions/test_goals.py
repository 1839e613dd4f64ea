"""Goals in the turn: what is written and how often, and how a turn ends."""

import json
from typing import Any

import asyncpg
import httpx
import pytest

from app.sessions.store.store import SessionStore
from app.settings import Settings
from tests.support.manifests import apply_entity, manifest, post
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import use_model
from tests.support.threads import THREADS, Reader, data, read, settled, start

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
}


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    use_model(settings, model)
    return settings


@pytest.fixture(autouse=True)
def _served(worker: None) -> None:
    """Each of these turns is run by a worker."""


@pytest.fixture
async def dataset(client: httpx.AsyncClient) -> str:
    return await apply_entity(client, "Dataset", "drive")


def call(tool: str, **arguments: Any) -> str:
    return f"call {tool} {json.dumps(arguments)}"


async def test_an_output_fits_its_schema_and_is_read_from_the_thread(
    client: httpx.AsyncClient,
) -> None:
    script = "\nthen\n".join(
        [call("submit_output", answer="42"), call("submit_output", answer=42), "Done."]
    )
    thread = await start(client, script, model_profile="script", output_schema=SCHEMA)
    assert thread["goals"][0]["goal_type"] == "output"
    assert thread["status"] == "roboto_turn"
    thread = await settled(client, thread["thread_id"])
    assert thread["output"] == {"answer": 42}
    [refused] = thread["messages"][2]["content"]
    assert '"42" is not of type "integer"' in refused["payload"]["error"]
    assert thread["goals"][0]["status"] == "achieved"

    body = {"output_schema": SCHEMA, "message": thread["messages"][0] | {"status": "not_started"}}
    await client.post(f"{THREADS}/{thread['thread_id']}/messages", json=body)
    thread = await settled(client, thread["thread_id"])
    assert [goal["message_sequence_num"] for goal in thread["goals"]] == [0, 6]


async def test_a_launch_gives_an_object_that_fits_its_own_schema_or_fails(
    client: httpx.AsyncClient,
) -> None:
    message = {"role": "user", "content": [{"text": "{{script}}"}]}
    template = {"messages": [message], "model_profile": "script", "output_schema": SCHEMA}
    body = {"name": "solver", "request_template": template, "variables": [{"name": "script"}]}
    url = f"/v1/ai/agents/{data(await client.post('/v1/ai/agents', json=body), 201)['agent_id']}"
    schema = {"properties": {"name": {"type": "string"}}, "required": ["name"]}

    async def launch(script: str, ends: str = "user_turn", **fields: Any) -> dict[str, Any]:
        values = {"values": {"script": script}, **fields}
        thread = data(await client.post(f"{url}/launch", json=values), 201)
        await Reader(client, thread["thread_id"]).follow(ends)
        return await read(client, thread["thread_id"])

    named = await launch(call("submit_output", name="Ada"), output_schema=schema)
    assert named["output"] == {"name": "Ada"}
    wrong_call = call("submit_output", answer=42)
    failed = await launch(wrong_call, "goals_failed", output_schema=schema)
    assert failed["output"] is None
    solved = await launch(call("submit_output", answer=42))
    assert solved["output"] == {"answer": 42}

    wrong = {"values": {"script": "x"}, "output_schema": {"type": "string"}}
    for path in ("launch", "preview"):
        refused = await client.post(f"{url}/{path}", json=wrong)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["loc"][:2] == ["body", "output_schema"]


async def test_an_agent_s_output_is_what_a_prompt_gives(client: httpx.AsyncClient) -> None:
    template = {"modelProfile": "script", "outputSchema": SCHEMA}
    await post(client, "apply", manifest("Agent", "solver", {"requestTemplate": template}))
    body = {"prompt": call("submit_output", answer=42)}
    assert (await post(client, "prompt/solver", body))["data"]["output"] == {"answer": 42}

    failed = (await post(client, "prompt/solver", {"prompt": "I do not know."}))["data"]
    assert failed["status"] == "goals_failed"
    assert "output" not in failed


async def test_what_a_goal_brings_about_is_written_once_though_the_write_is_tried_again(
    client: httpx.AsyncClient, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = 0
    complete = SessionStore.complete

    async def answer_is_lost(store: SessionStore, *given: Any, **named: Any) -> bool:
        nonlocal lost
        written = await complete(store, *given, **named)
        lost += 1
        if lost == 1:
            raise asyncpg.ConnectionDoesNotExistError("the connection is gone")
        return written

    monkeypatch.setattr(SessionStore, "complete", answer_is_lost)
    event = {"name": "stop", "start_time": 1, "end_time": 2, "target_id": dataset}
    goal = {
        "goal_type": "create_events",
        "dataset_id": dataset,
        "event_vocabulary": {"stop": "It stands."},
    }
    script = call("achieve_create_events", events=[event] * 3)
    thread = await start(client, script, model_profile="script", goals=[goal])
    thread = await settled(client, thread["thread_id"])

    assert lost >= 2
    assert [goal["status"] for goal in thread["goals"]] == ["achieved"]
    url = f"/v1/ai/datasets/{dataset}/events"
    page = data(await client.get(url, params={"limit": 2}))
    rest = data(await client.get(url, params={"limit": 2, "page_token": page["next_token"]}))
    assert len({e["event_id"] for e in [*page["items"], *rest["items"]]}) == 3
    assert rest["next_token"] is None


async def test_a_cancelled_turn_has_not_achieved_its_goals(
    client: httpx.AsyncClient, dataset: str
) -> None:
    tool = {"name": "client_wait", "description": "", "input_schema": {}}
    goal = {"goal_type": "dataset_summary", "dataset_id": dataset}
    thread = await start(
        client, "call client_wait {}", model_profile="script", goals=[goal], client_tools=[tool]
    )
    thread_id = thread["thread_id"]
    await Reader(client, thread_id).follow("client_tool_turn")
    record = data(await client.post(f"{THREADS}/{thread_id}/cancel"))
    assert record["status"] == "goals_failed"
    assert [goal["status"] for goal in (await read(client, thread_id))["goals"]] == ["failed"]


async def test_a_retry_reopens_the_goals_of_its_turn_with_the_reminder_that_was_due(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    function = {"name": "submit_output", "arguments": '{"answer": 42}'}
    calls = [{"index": 0, "id": "c", "type": "function", "function": function}]
    model.script(
        Reply(text="I do not know."),
        *[Reply(status=400)] * 2,  # the model cannot be made to call, and then it fails
        Reply(message_body={"tool_calls": calls}, finish_reason="tool_calls"),
    )
    thread = await start(client, "What is it?", output_schema=SCHEMA)
    thread_id = thread["thread_id"]
    reader = Reader(client, thread_id)
    await reader.follow("goals_failed")
    assert (await read(client, thread_id))["goals"][0]["status"] == "failed"

    retried = data(await client.post(f"{THREADS}/{thread_id}/retry"))
    assert retried["status"] == "roboto_turn"
    thread = await settled(client, thread_id)

    goal = thread["goals"][0]
    assert (goal["status"], thread["output"]) == ("achieved", {"answer": 42})
    assert goal["concluded_at"] is not None
    bodies = [request.body for request in model.requests]
    choices = [body.get("tool_choice", "auto") for body in bodies]
    assert choices == ["auto", "required", "auto", "required", "auto"]
    first, _, failed, again, _ = (body["messages"] for body in bodies)
    reminder = "The turn is not done: goals are open. Call submit_output now."
    assert not any(reminder in str(message["content"]) for message in first)
    assert failed[-1] == again[-1]
    assert reminder in failed[-1]["content"]
    assert [message["role"] for message in again] == [message["role"] for message in failed]
