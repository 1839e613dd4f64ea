"""Skills in a thread: offered to the model, loaded by it, and invoked by a message."""

from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
from tests.support.http import NewKey
from tests.support.threads import THREADS, data, read, said, settled, start, texts

SKILLS = "/v1/skills"


@pytest.fixture(autouse=True)
def _served(worker: None) -> None:
    """Each of these turns is run by a worker."""


async def skill(client: httpx.AsyncClient, name: str = "triage", **fields: Any) -> str:
    """Create a skill; its id. Its author's models are offered it."""
    body = {"name": name, "description": f"How to {name}.", "body": f"First {name}.", **fields}
    record = data(await client.post(f"{SKILLS}/create", json=body), 201)
    return str(record["skill_id"])


async def run(client: httpx.AsyncClient, *messages: Any, **fields: Any) -> dict[str, Any]:
    thread = await start(client, *messages, model_profile="script", **fields)
    return await settled(client, thread["thread_id"])


def blocks(thread: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    found = [block for message in thread["messages"] for block in message["content"]]
    return [block for block in found if block["content_type"] == kind]


def loads(thread: dict[str, Any]) -> list[tuple[str, Any]]:
    """The results of `load_skill`, as (status, payload)."""
    return [(b["status"], b["payload"]) for b in blocks(thread, "tool_result")]


LOAD = 'call load_skill {"name": "triage"}\nthen\nGot it.'


async def test_a_model_loads_what_its_user_is_subscribed_to(client: httpx.AsyncClient) -> None:
    await skill(client)
    thread = await run(client, LOAD)

    assert loads(thread) == [("success", "First triage.")]
    assert texts(thread)[-1] == "Got it."
    assert not blocks(thread, "tool_use")[0]["answered_by_server"]


async def test_without_a_subscription_or_with_an_empty_list_there_is_no_skill(
    client: httpx.AsyncClient,
) -> None:
    skill_id = await skill(client)
    thread = await run(client, LOAD, available_skills=[])
    [(status, payload)] = loads(thread)
    assert status == "error"
    assert "There is no tool 'load_skill'" in payload["error"]

    await client.delete(f"{SKILLS}/id/{skill_id}/subscribe")
    assert loads(await run(client, LOAD))[0][0] == "error"


async def test_a_list_is_kept_as_it_is_when_the_thread_starts(client: httpx.AsyncClient) -> None:
    skill_id = await skill(client)
    other = await skill(client, "other")
    thread = await run(client, "Hello", available_skills=[{"skill_id": skill_id}])
    url = f"{SKILLS}/id/{skill_id}/versions/1"
    change = {"body": "Changed.", "description": "Changed."}
    assert (await client.put(url, json=change)).status_code == 200
    await client.delete(f"{SKILLS}/id/{other}")

    messages = f"{THREADS}/{thread['thread_id']}/messages"
    for script in (LOAD, 'call load_skill {"name": "other"}\nthen\nNo.'):
        data(await client.post(messages, json={"message": said(script)}))
        thread = await settled(client, thread["thread_id"])
    (first, text), (second, _) = loads(thread)
    assert (first, text, second) == ("success", "First triage.", "error")


async def test_an_invoked_skill_stands_behind_the_message_as_a_call_and_its_result(
    client: httpx.AsyncClient,
) -> None:
    one, two = await skill(client), await skill(client, "second")
    invoked = [{"skill_id": one}, {"skill_id": two, "version": 1}]
    thread = await run(client, "Do it.", invoke_skills=invoked)

    roles = [message["role"] for message in thread["messages"]]
    assert roles == ["user", "assistant", "roboto", "assistant", "roboto", "assistant"]
    assert loads(thread) == [("success", "First triage."), ("success", "First second.")]
    calls = blocks(thread, "tool_use")
    assert [call["input"] for call in calls] == [{"name": "triage"}, {"name": "second"}]
    assert [m["status"] for m in thread["messages"]] == ["completed"] * 6


async def test_a_turn_with_a_goal_has_the_skills_that_it_invokes(client: httpx.AsyncClient) -> None:
    invoked = [{"skill_id": await skill(client)}]
    output = {"output_schema": {"required": ["a"]}}
    # The skill stands in the dialogue as the model's first answer.
    script = 'then\ncall submit_output {"a": 1}'
    thread = await run(client, script, invoke_skills=invoked, **output)
    assert [call["tool_name"] for call in blocks(thread, "tool_use")] == [
        "load_skill",
        "submit_output",
    ]
    assert thread["output"] == {"a": 1}


async def test_a_request_has_so_many_tools_with_those_of_goals_and_skills(
    client: httpx.AsyncClient,
) -> None:
    await skill(client)  # to which the author is subscribed
    tool = {"description": "", "input_schema": {}}
    tools = [tool | {"name": f"client_t{number}"} for number in range(128)]
    body = {"messages": [said("Go.")], "client_tools": tools, "output_schema": {}}
    refused = await client.post(THREADS, json=body)
    assert refused.status_code == 400
    assert "128 tools at the most, and 1 of them" in refused.json()["detail"]

    load = 'call load_skill {"name": "triage"}'
    full = await run(client, load, client_tools=tools)
    assert [status for status, _ in loads(full)] == ["error"]
    free = await run(client, load, client_tools=tools[1:])
    assert loads(free) == [("success", "First triage.")]


async def test_skills_alone_begin_a_turn(client: httpx.AsyncClient) -> None:
    skill_id = await skill(client)
    thread = await run(client, invoke_skills=[{"skill_id": skill_id}])
    assert [m["role"] for m in thread["messages"]] == ["assistant", "roboto", "assistant"]

    url = f"{THREADS}/{thread['thread_id']}/messages"
    data(await client.post(url, json={"message": None, "invoke_skills": [{"skill_id": skill_id}]}))
    thread = await settled(client, thread["thread_id"])
    assert len(loads(thread)) == 2
    ids = [call["tool_use_id"] for call in blocks(thread, "tool_use")]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("fields", "status", "loc"),
    [
        (
            {"invoke_skills": [{"skill_id": "sk_none"}]},
            404,
            ["body", "invoke_skills", 0, "skill_id"],
        ),
        ({"available_skills": [{"skill_id": "sk_none"}]}, 404, None),
        ({"invoke_skills": [{"skill_id": "a"}, {"skill_id": "a"}]}, 400, ["body", "invoke_skills"]),
        ({"invoke_skills": [{"skill_id": "a", "version": 0}]}, 400, None),
        ({"invoke_skills": [{}]}, 400, ["body", "invoke_skills", 0, "skill_id"]),
        ({"available_skills": [{"skill_id": str(i)} for i in range(101)]}, 400, None),
    ],
)
async def test_skills_that_are_not_there_are_refused(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, loc: Any
) -> None:
    response = await client.post(THREADS, json={"messages": [said("Hi")], **fields})
    assert response.status_code == status, response.text
    if loc:
        assert response.json()["errors"][0]["loc"] == loc
    assert data(await client.get(THREADS))["items"] == []


async def test_nothing_to_begin_with_is_refused(client: httpx.AsyncClient) -> None:
    for body in ({}, {"messages": []}, {"messages": [], "invoke_skills": []}):
        assert (await client.post(THREADS, json=body)).status_code == 400


async def test_another_user_s_private_skill_is_not_there(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    skill_id = await skill(client)
    other = await new_key(user="bob@acme.example", scopes=[KeyScope.READ, KeyScope.WRITE])
    body = {"messages": [said("Hi")], "invoke_skills": [{"skill_id": skill_id}]}
    headers = {"Authorization": f"Bearer {other.api_key}"}
    assert (await client.post(THREADS, json=body, headers=headers)).status_code == 404
    assert (await read(client, (await run(client, "Hi"))["thread_id"]))["status"] == "user_turn"
