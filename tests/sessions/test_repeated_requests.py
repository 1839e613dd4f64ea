"""The same request with the same key: the stored answer, whatever became of what it names."""

from typing import Any

import httpx

from tests.support.http_server import HttpServer
from tests.support.manifests import CLI, apply_entity, manifest, many, post, provider, secret
from tests.support.shop import connection_to, declare
from tests.support.threads import THREADS, answered, data, said

FLOW = {
    "statechart": {
        "states": {
            "resting": {"initial": True, "transitions": [{"event": "go", "target": "resting"}]}
        }
    },
    "templates": {"resting": "Hello."},
}


async def test_what_was_answered_is_answered_again_when_all_that_it_named_is_gone(
    client: httpx.AsyncClient, worker: None
) -> None:
    async with HttpServer() as server:
        await post(client, "apply", many(secret(), secret("shop-key"), connection_to(server)))
    await declare(client, "delete-order")
    skill = manifest("Skill", "haggle", {"description": "How to haggle.", "body": "Be bold."})
    template = {"messages": [said("Be brief.")], "tools": ["delete-order"]}
    agent = manifest("Agent", "helper", {"requestTemplate": {**template, "modelProfile": "script"}})
    await post(client, "apply", many(provider(), agent, manifest("Flow", "rests", FLOW)))
    skill_id = (await post(client, "apply", skill))["data"]["manifest"]["status"]["skillId"]
    dataset = await apply_entity(client, "Dataset", "drive")
    agent_id = data(await client.get("/v1/ai/agents"))["items"][0]["agent_id"]
    thread_id = (await answered(client, "Hi", model_profile="script"))["thread_id"]
    named = {
        "tools": ["delete-order"],
        "invoke_skills": [{"skill_id": skill_id}],
        "goals": [{"goal_type": "dataset_summary", "dataset_id": dataset}],
    }
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "start": (THREADS, {"messages": [said("Hi")], "model_profile": "models", **named}),
        "message": (f"{THREADS}/{thread_id}/messages", {"message": said("Go on."), **named}),
        "fork": (f"{THREADS}/{thread_id}/fork", {"message_sequence_num": 0}),
        "launch": (f"/v1/ai/agents/{agent_id}/launch", {"values": {}}),
        "prompt": (f"{CLI}/prompt/helper/", {"prompt": "Hi"}),
        "session": ("/v1/ai/rests/start_session", {}),
    }

    async def ask(key: str, **more: Any) -> httpx.Response:
        path, body = requests[key]
        return await client.post(path, json={**body, **more}, headers={"Idempotency-Key": key})

    first = {key: await ask(key) for key in requests}
    assert {key: answer.status_code for key, answer in first.items()} == {
        **dict.fromkeys(("start", "fork", "launch"), 201),
        **dict.fromkeys(("message", "prompt", "session"), 200),
    }
    gone = ("agents/helper", "tools/delete-order", "providers/models", "flows/rests")
    for kind, _, name in (one.partition("/") for one in (*gone, "skills/haggle", "datasets/drive")):
        await post(client, f"delete/{kind}", name=name)

    again = {key: await ask(key) for key in requests}

    for key, answer in again.items():
        assert answer.status_code == first[key].status_code, (key, answer.text)
        if key == "prompt":  # of each prompt the journal has an entry of its own
            assert answer.json()["data"] == first[key].json()["data"]
        else:
            assert answer.content == first[key].content, key
    others: dict[str, dict[str, Any]] = {
        "start": {"visibility": "org"},
        "message": {"message": said("Go back.")},
        "fork": {"message_sequence_num": 1},
        "launch": {"values": {"topic": "tea"}},
        "prompt": {"prompt": "Ho"},
        "session": {"seed_data": {"topic": "tea"}},
    }
    for key, more in others.items():
        assert (await ask(key, **more)).status_code == 422, key
    assert len(data(await client.get(THREADS))["items"]) == 6
