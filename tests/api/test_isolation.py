"""A walk over the OpenAPI document: what belongs to another org does not exist.

It takes up new operations by itself. One whose path names a resource that `MAKERS` cannot make
fails: add the maker.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.settings import Settings
from app.worker import serving
from tests.support.http import NewKey
from tests.support.manifests import apply_entity

Maker = Callable[[httpx.AsyncClient], Awaitable[str]]

TEXT = {"role": "user", "content": [{"text": "Hi"}]}
ANSWER = {"role": "assistant", "content": [{"text": "Hello."}]}


async def _agent(client: httpx.AsyncClient, name: str = "theirs") -> str:
    body = {"name": name, "request_template": {"messages": [TEXT]}}
    answer = await client.post("/v1/ai/agents", json=body)
    if answer.status_code == 409:
        return str((await client.get(f"/v1/ai/agents/name/{name}")).json()["data"]["agent_id"])
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["agent_id"])


async def _agent_name(client: httpx.AsyncClient) -> str:
    await _agent(client, "named")
    return "named"


async def _thread(client: httpx.AsyncClient) -> str:
    # Open to all of its org: what keeps others out is that they are of another.
    body = {"messages": [TEXT, ANSWER], "visibility": "org"}
    answer = await client.post("/v1/ai/threads", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["thread_id"])


async def _action(client: httpx.AsyncClient) -> str:
    """The call of a tool of the client's."""
    tool = {"name": "client_tool", "description": "", "input_schema": {}}
    body = {"model_profile": "script", "visibility": "org", "client_tools": [tool]}
    call = {"role": "user", "content": [{"text": "call client_tool {}"}]}
    answer = await client.post("/v1/ai/threads", json=body | {"messages": [call]})
    url = f"/v1/ai/threads/{answer.json()['data']['thread_id']}/delta?wait=10&next_token="
    delta = {"required_actions": [], "continuation_token": ""}
    while not delta["required_actions"]:
        delta = (await client.get(f"{url}{delta['continuation_token']}")).json()["data"]
    return str(delta["required_actions"][0]["action_id"])


async def _message(client: httpx.AsyncClient) -> str:
    return "1"


async def _skill(client: httpx.AsyncClient) -> str:
    """Open to all of its org, too."""
    body = {"name": "theirs", "description": "d", "body": "b", "accessibility": "org-editable"}
    answer = await client.post("/v1/skills/create", json=body)
    if answer.status_code == 409:
        answer = await client.get("/v1/skills/name/theirs")
    return str(answer.json()["data"]["skill_id"])


async def _skill_name(client: httpx.AsyncClient) -> str:
    await _skill(client)
    return "theirs"


async def _dataset(client: httpx.AsyncClient) -> str:
    return await apply_entity(client, "Dataset", "theirs")


async def _version(client: httpx.AsyncClient) -> str:
    return "1"


async def _flow(client: httpx.AsyncClient) -> str:
    manifest = {
        "apiVersion": "statewright/v1",
        "kind": "Flow",
        "metadata": {"name": "theirs", "description": "says hello", "version": "1.0.0"},
        "spec": {
            "statechart": {
                "states": {
                    "greet": {"initial": True, "transitions": [{"event": "go", "target": "bye"}]},
                    "bye": {"final": True},
                }
            },
            "templates": {"greet": "Hello.", "bye": "Bye."},
        },
    }
    answer = await client.post("/api/v1/cli/apply/", json=manifest)
    assert answer.status_code == 200, answer.text
    return "theirs"


# How the other org makes what a parameter names.
MAKERS: dict[str, Maker] = {
    "agent_id": _agent,
    "dataset_id": _dataset,
    "name": _agent_name,
    "thread_id": _thread,
    "session_id": _thread,
    "message_number": _message,
    "action_id": _action,
    "flow": _flow,
    "skill_id": _skill,
    "skill_name": _skill_name,
    "version": _version,
}
# What a parameter is where another of the same path names the resource.
BESIDE = {"kind": "Agent", "flow": "chat"}
# These list: what is another org's is not in the list.
LISTS = {"manifests_get", "sessions_list_user_sessions"}

# These name it in the body instead.
IN_BODY = {"sessions_event": "session_id"}
# These are refused to the owner too, for another reason (a prompt: the agent has no use for it;
# a retry: nothing failed; an undo: there is one revision).
RETRIES = {"manifests_retry", "sessions_retry", "threads_retry"}
REFUSED = {"threads_submit_tool_results", "manifests_prompt", "manifests_undo", *RETRIES}
# These are of another kind than Agent.
OTHER_KINDS = {"/api/v1/cli/retry/{kind}/": ("Session", _thread)}

# Bodies that the owner's own request would succeed with.
BODIES: dict[str, Any] = {
    "agents_update": {"description": "mine now"},
    "agents_launch": {},
    "agents_preview": {},
    "threads_send_message": {"message": TEXT},
    "threads_submit_tool_results": {"tool_results": []},
    "threads_fork": {"message_sequence_num": 0},
    "threads_set_visibility": {"visibility": "private"},
    "threads_pin": {"pinned": True},
    "threads_submit_feedback": {"sentiment": "positive"},
    "actions_resolve": {"decision": "answer", "result": "fine"},
    "sessions_start_session": {},
    "sessions_start_ephemeral_session": {"event": "go"},
    "sessions_event": {"event": "poll"},
    "manifests_prompt": {"prompt": "Hi"},
    "skills_update": {"put_tags": ["mine"]},
    "skills_create_version": {"description": "d", "body": "b"},
    "skills_update_version": {"body": "b"},
    "skills_set_subscription": {"ai_version": None},
}


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    """Only a turn that runs waits for actions."""
    async with serving(settings):
        yield


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], list[str]]]:
    """Each operation that names an org's resource: method, path, declaration, what names it."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names = re.findall(r"{(\w+)}", path)
            query = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
            if "kind" in names and "name" in query:
                names.append("name")
            naming = [name for name in names if name not in BESIDE] or [
                name for name in names if name in MAKERS
            ]
            if operation["operationId"] in IN_BODY:
                naming = [IN_BODY[operation["operationId"]]]
            if naming and operation["operationId"] not in LISTS:
                yield method, path, operation, naming


async def test_what_is_another_orgs_does_not_exist(
    client: httpx.AsyncClient, api: FastAPI, new_key: NewKey, worker: None
) -> None:
    eve = await new_key(org="Other", user="eve@other.example")
    headers = {"Authorization": f"Bearer {eve.api_key}"}

    seen = {}
    for method, path, operation, naming in operations(api.openapi()):
        url, name = await _url(client, path, naming), operation["operationId"]
        body = await _body(client, name, operation)
        theirs = await client.request(method, url, json=body, headers=headers)
        owners = await client.request(method, url, json=body)
        seen[name] = (theirs.status_code, owners.status_code)

    # The owner's request goes through, so that it is the org and nothing else that keeps Eve out.
    assert {
        name: statuses
        for name, statuses in seen.items()
        if statuses[0] != 404 or (statuses[1] >= 300 and name not in REFUSED)
    } == {}
    assert len(seen) >= 30


async def test_lists_hold_nothing_of_another_org(
    client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    await _agent(client)
    await _action(client)
    await _skill(client)
    eve = await new_key(org="Other", user="eve@other.example")
    headers = {"Authorization": f"Bearer {eve.api_key}"}

    for path in ("/v1/ai/agents", "/v1/ai/threads", "/v1/ai/actions", "/v1/skills"):
        assert len((await client.get(path)).json()["data"]["items"]) == 1
        assert (await client.get(path, headers=headers)).json()["data"]["items"] == []
    found = await client.post("/v1/ai/threads/search", json={"text": "call"}, headers=headers)
    assert found.json()["data"]["items"] == []


async def _url(client: httpx.AsyncClient, path: str, naming: list[str]) -> str:
    query = []
    if path in OTHER_KINDS:
        kind, make = OTHER_KINDS[path]
        return f"{path.replace('{kind}', kind)}?name={await make(client)}"
    if "{kind}" in path:
        query = [f"{name}={await _made(client, name)}" for name in naming]
    for name in re.findall(r"{(\w+)}", path):
        value = await _made(client, name) if name in naming else BESIDE[name]
        path = path.replace(f"{{{name}}}", value)
    return "?".join([path, *query])


async def _made(client: httpx.AsyncClient, name: str) -> str:
    if name not in MAKERS:
        pytest.fail(f"add to MAKERS how to make what {{{name}}} names")
    return await MAKERS[name](client)


async def _body(client: httpx.AsyncClient, name: str, operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    if name not in BODIES:
        pytest.fail(f"{name}: add to BODIES what its owner would send")
    if name in IN_BODY:
        return BODIES[name] | {IN_BODY[name]: await _made(client, IN_BODY[name])}
    return BODIES[name]
