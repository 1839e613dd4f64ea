"""Every request that changes something is done once for each idempotency key.

A walk over the OpenAPI document: a new operation takes a key and is in `REQUESTS`, or it changes
nothing and is in `READS`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
from fastapi import FastAPI

from app.access.caller import KeyScope
from app.db.engine import Database
from app.settings import IdempotencySettings, JournalSettings, Settings
from app.worker import serving
from tests.support.http import NewKey, Serve
from tests.support.manifests import manifest, many, post
from tests.support.threads import THREADS, answered, data, rested, said, start

AGENTS, SKILLS, CLI = "/v1/ai/agents", "/v1/skills", "/api/v1/cli"
KEY = "idempotency-key"

# They are POST because they have a body, or because the reference's clients send them so.
READS = {
    "agents_preview",
    "sessions_list_user_sessions",
    "threads_search",
    *(
        f"manifests_{verb}"
        for verb in (
            *("describe", "diff", "example_manifest", "get", "history", "json_schema", "logs"),
            *("resources", "status", "version", "whoami"),
        )
    ),
}

FRAGILE = {
    "statechart": {
        "states": {
            "asking": {"initial": True, "transitions": [{"event": "go", "target": "working"}]},
            "working": {"transitions": [{"event": "done", "target": "asking"}]},
        }
    },
    "templates": {
        "asking": "Say a number.",
        "working": {"invoke": "llm", "template": "{{ 1 // actor_input | int }}"},
    },
}
CLIENT_TOOL = {"name": "client_look", "description": "", "input_schema": {}}
CALLS_TOOL = {"model_profile": "script", "client_tools": [CLIENT_TOOL]}
TEMPLATE = {"messages": [said("Be brief.")], "model_profile": "script"}


@dataclass(frozen=True)
class Sent:
    """A request; `other` is what differs in another one that comes with the same key."""

    method: str
    path: str
    body: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    """What is there before: ids that the requests name."""

    thread: str
    waiting: list[str]
    action: str
    tool_use: str
    failed: list[str]
    session: str
    agents: list[str]
    skills: list[str]


async def _failed(client: httpx.AsyncClient) -> str:
    started = (await client.post("/v1/ai/fragile/start_session", json={})).json()
    event = {"session_id": started["session_id"], "event": "go", "event_input": "0"}
    assert (await client.post("/v1/ai/fragile/event", json=event)).status_code == 200
    return str(started["session_id"])


async def _world(client: httpx.AsyncClient) -> World:
    await post(client, "apply", many(manifest("Flow", "fragile", FRAGILE), agent("declared")))
    agents, skills = [], []
    for name in ("one", "two"):
        body = {"name": name, "request_template": TEMPLATE}
        agents.append(data(await client.post(AGENTS, json=body), 201)["agent_id"])
        body = {"name": name, "description": "d", "body": "b"}
        skills.append(data(await client.post(f"{SKILLS}/create", json=body), 201)["skill_id"])
    waiting = []
    for _ in range(4):
        thread = await start(client, "call client_look {}", **CALLS_TOOL)
        waiting.append((await rested(client, thread["thread_id"]))["thread_id"])
    delta = data(await client.get(f"{THREADS}/{waiting[3]}/delta"))
    calls = data(await client.get(f"{THREADS}/{waiting[2]}/delta"))["required_actions"]
    return World(
        thread=(await answered(client, "Hi", model_profile="script"))["thread_id"],
        waiting=waiting,
        action=delta["required_actions"][0]["action_id"],
        tool_use=calls[0]["tool_use_id"],
        failed=[await _failed(client) for _ in range(3)],
        session=(await client.post("/v1/ai/fragile/start_session", json={})).json()["session_id"],
        agents=agents,
        skills=skills,
    )


def agent(name: str, text: str = "Be brief.") -> Any:
    template = {"messages": [said(text)], "modelProfile": "script"}
    return manifest("Agent", name, {"requestTemplate": template})


def requests(w: World) -> dict[str, Sent]:
    """One of each operation that changes something; those that delete come last."""
    thread, skill = f"{THREADS}/{w.thread}", f"{SKILLS}/id/{w.skills[0]}"
    message = f"{thread}/messages"
    result = {"tool_use_id": w.tool_use, "tool_name": CLIENT_TOOL["name"]}
    results = [{**result, "status": "success", "output": {}, "runtime_ms": 1}]
    event = {"session_id": w.session, "event": "go", "event_input": "1"}
    good = {"sentiment": "positive"}
    return {
        "threads_start": Sent(
            "POST", THREADS, {"messages": [said("Hi")]}, other={"visibility": "org"}
        ),
        "threads_send_message": Sent(
            "POST", message, {"message": said("On.")}, other={"message": said("Back.")}
        ),
        "threads_submit_tool_results": Sent(
            "POST",
            f"{THREADS}/{w.waiting[2]}/tool-results",
            {"tool_results": results},
            other={"client_tools": [CLIENT_TOOL]},
        ),
        "threads_cancel": Sent(
            "POST", f"{THREADS}/{w.waiting[0]}/cancel", other={"path": f"{thread}/cancel"}
        ),
        "threads_retry": Sent("POST", f"{THREADS}/{w.failed[0]}/retry", other={"step": "/1"}),
        "threads_fork": Sent(
            "POST", f"{thread}/fork", {"message_sequence_num": 0}, other={"message_sequence_num": 1}
        ),
        "threads_set_visibility": Sent(
            "POST", f"{thread}/visibility", {"visibility": "org"}, other={"visibility": "private"}
        ),
        "threads_pin": Sent("POST", f"{thread}/pin", {"pinned": True}, other={"pinned": False}),
        "threads_submit_feedback": Sent(
            "POST", f"{message}/1/feedback", good, other={"categories": ["helpful"]}
        ),
        "actions_resolve": Sent(
            "POST",
            f"/v1/ai/actions/{w.action}/resolve",
            {"decision": "answer", "result": "Seen."},
            other={"result": "Not seen."},
        ),
        "sessions_start_session": Sent(
            "POST", "/v1/ai/fragile/start_session", {}, other={"seed_data": {"topic": "tea"}}
        ),
        "sessions_start_ephemeral_session": Sent(
            "POST",
            "/v1/ai/fragile/start_ephemeral_session",
            {"event": "go", "event_input": "1"},
            other={"event_input": "2"},
        ),
        "sessions_event": Sent("POST", "/v1/ai/fragile/event", event, other={"event_input": "2"}),
        "sessions_retry": Sent(
            "POST", f"/v1/ai/fragile/sessions/{w.failed[1]}/retry", other={"step": "/1"}
        ),
        "agents_create": Sent(
            "POST",
            AGENTS,
            {"name": "made", "request_template": TEMPLATE},
            other={"name": "made-too"},
        ),
        "agents_update": Sent(
            "PUT", f"{AGENTS}/{w.agents[0]}", {"description": "Kind."}, other={"description": "."}
        ),
        "agents_launch": Sent(
            "POST", f"{AGENTS}/{w.agents[0]}/launch", {}, other={"values": {"topic": "tea"}}
        ),
        "skills_create": Sent(
            "POST",
            f"{SKILLS}/create",
            {"name": "made", "description": "d", "body": "b"},
            other={"name": "made-too"},
        ),
        "skills_update": Sent("PUT", skill, {"put_tags": ["e"]}, other={"put_tags": ["f"]}),
        "skills_create_version": Sent(
            "POST",
            f"{skill}/versions",
            {"description": "d", "body": "c"},
            other={"body": "d"},
        ),
        "skills_update_version": Sent(
            "PUT", f"{skill}/versions/1", {"body": "e"}, other={"body": "f"}
        ),
        "skills_subscribe": Sent(
            "POST",
            f"{skill}/subscribe",
            other={"path": f"{SKILLS}/id/{w.skills[1]}/subscribe"},
        ),
        "skills_set_subscription": Sent(
            "PUT", f"{skill}/subscribe", {"ai_version": 1}, other={"ai_version": 2}
        ),
        "manifests_prompt": Sent(
            "POST", f"{CLI}/prompt/declared/", {"prompt": "Hi"}, other={"prompt": "Ho"}
        ),
        "manifests_apply": Sent(
            "POST", f"{CLI}/apply/", agent("declared", "Be kind."), other={"kind": "Flow"}
        ),
        "manifests_undo": Sent(
            "POST", f"{CLI}/undo/agent/", params={"name": "declared"}, other={"revision": 1}
        ),
        "manifests_undeploy": Sent(
            "POST", f"{CLI}/undeploy/agent/", params={"name": "declared"}, other={"dry_run": True}
        ),
        "manifests_deploy": Sent(
            "POST", f"{CLI}/deploy/agent/", params={"name": "declared"}, other={"dry_run": True}
        ),
        "manifests_retry": Sent(
            "POST",
            f"{CLI}/retry/session/",
            params={"name": w.failed[2]},
            other={"dry_run": True},
        ),
        "manifests_delete": Sent(
            "POST", f"{CLI}/delete/agent/", params={"name": "declared"}, other={"name": "one"}
        ),
        "agents_delete": Sent(
            "DELETE", f"{AGENTS}/{w.agents[0]}", other={"path": f"{AGENTS}/{w.agents[1]}"}
        ),
        "skills_unsubscribe": Sent(
            "DELETE", f"{skill}/subscribe", other={"path": f"{SKILLS}/id/{w.skills[1]}/subscribe"}
        ),
        "skills_delete_version": Sent(
            "DELETE", f"{skill}/versions/1", other={"path": f"{skill}/versions/2"}
        ),
        "skills_delete": Sent("DELETE", skill, other={"path": f"{SKILLS}/id/{w.skills[1]}"}),
    }


async def ask(client: httpx.AsyncClient, operation: str, sent: Sent) -> httpx.Response:
    return await client.request(
        sent.method,
        sent.path,
        json=sent.body,
        params=sent.params,
        headers={KEY: f"key of {operation}"},
    )


async def ask_other(client: httpx.AsyncClient, operation: str, sent: Sent) -> httpx.Response:
    other = dict(sent.other)
    path = other.pop("path", sent.path)
    body, params = sent.body, sent.params
    if body is None:
        params = {**params, **other}
    else:
        body = {**body, **other}
    return await ask(client, operation, Sent(sent.method, path, body, params))


async def rows(database: Database) -> dict[str, Any]:
    """A number for each table that any write changes, but for those that are no effect."""
    apart = ("api_key", "queue_sweep", "journal", "alembic_version")
    found = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    tables = [row["tablename"] for row in await database.pool.fetch(found)]
    return {
        table: await database.pool.fetchval(
            f'SELECT (count(*), sum(xmin::text::bigint))::text FROM "{table}"'  # noqa: S608
        )
        for table in tables
        if table not in apart
    }


async def _rest(database: Database) -> None:
    """Wait until nothing runs."""
    running = "SELECT count(*) FROM invocation WHERE status = 'running'"
    while await database.pool.fetchval(running):  # noqa: ASYNC110 - the engine tells only clients
        await asyncio.sleep(0.01)


async def test_every_operation_that_changes_something_is_done_once_for_a_key(
    api: FastAPI, client: httpx.AsyncClient, worker: None, database: Database
) -> None:
    operations = {
        operation["operationId"]: any(p["name"] == KEY for p in operation.get("parameters", []))
        for path in api.openapi()["paths"].values()
        for method, operation in path.items()
        if method not in ("get", "head")
    }
    sent = requests(await _world(client))
    assert {name for name, keyed in operations.items() if keyed} == set(sent)
    assert {name for name, keyed in operations.items() if not keyed} == READS

    first, again, others = {}, {}, {}
    for operation, request in sent.items():
        await _rest(database)
        first[operation] = await ask(client, operation, request)
        assert first[operation].is_success, (operation, first[operation].text)
    await _rest(database)
    before = await rows(database)
    for operation, request in sent.items():  # what the first ones name is gone by now
        again[operation] = await ask(client, operation, request)
        others[operation] = await ask_other(client, operation, request)

    for operation, answer in again.items():
        assert answer.status_code == first[operation].status_code, (operation, answer.text)
        if operation == "manifests_prompt":  # of each prompt the journal has an entry of its own
            assert answer.json()["data"] == first[operation].json()["data"]
        else:
            assert answer.content == first[operation].content, operation
    assert {name: answer.status_code for name, answer in others.items()} == dict.fromkeys(sent, 422)
    assert await rows(database) == before


async def create(client: httpx.AsyncClient, name: str = "one", key: str = "k") -> httpx.Response:
    body = {"name": name, "request_template": TEMPLATE}
    return await client.post(AGENTS, json=body, headers={KEY: key})


async def test_of_requests_with_one_key_at_once_one_is_done(
    client: httpx.AsyncClient, database: Database
) -> None:
    answers = await asyncio.gather(*(create(client) for _ in range(8)))
    late = await create(client)

    done = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert {answer.content for answer in (*done, late)} == {late.content}
    assert {(a.status_code, a.json()["type"].rpartition(":")[2]) for a in others} <= {
        (409, "request-in-progress")
    }
    assert all(answer.headers["Retry-After"] == "1" for answer in others)
    assert await database.pool.fetchval("SELECT count(*) FROM agent_revision") == 1


async def test_a_key_is_its_user_s_own(client: httpx.AsyncClient, new_key: NewKey) -> None:
    first = data(await create(client), 201)
    statuses = []
    for org, user in (("Acme", "bob@acme.example"), ("Other", "ann@acme.example")):
        key = await new_key(org=org, user=user)
        client.headers["Authorization"] = f"Bearer {key.api_key}"
        answer = await create(client)
        statuses.append(answer.status_code)
        assert first["agent_id"] not in answer.text
    assert statuses == [409, 201]  # the name is taken in the one org, and free in the other


async def test_an_answer_is_not_given_to_a_key_that_may_less(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    assert (await create(client)).status_code == 201

    lesser = await new_key(scopes=[KeyScope.READ, KeyScope.WRITE])
    client.headers["Authorization"] = f"Bearer {lesser.api_key}"

    assert (await create(client)).status_code == 422


async def test_a_request_that_failed_is_tried_again_with_its_key(client: httpx.AsyncClient) -> None:
    taken = data(await create(client, key="other"), 201)
    assert (await create(client)).status_code == 409

    await client.delete(f"{AGENTS}/{taken['agent_id']}")

    assert (await create(client)).status_code == 201


async def test_what_is_shown_once_is_shown_to_the_same_request_and_stored_nowhere(
    client: httpx.AsyncClient, database: Database
) -> None:
    token = manifest("AuthToken", "ci", {"user": "ann@acme.example", "scopes": ["read"]})
    url, headers = f"{CLI}/apply/", {KEY: "k"}
    first = await client.post(url, json=token, headers=headers)
    again = await client.post(url, json=token, headers=headers)

    assert first.status_code == 200, first.text
    secret = first.json()["data"]["manifest"]["status"]["value"]
    assert again.content == first.content
    stored = await database.pool.fetchval("SELECT answer FROM stored_answer")
    assert secret.encode() not in stored


async def test_of_an_answer_that_is_too_long_it_is_known_that_it_was_given(
    api: FastAPI, client: httpx.AsyncClient, serve: Serve, settings: Settings, database: Database
) -> None:
    settings.idempotency = IdempotencySettings(max_answer_bytes=10)
    async with serve(api) as other:
        other.headers["Authorization"] = client.headers["Authorization"]
        assert (await create(other)).status_code == 201
        again = await create(other)

    assert (again.status_code, again.json()["title"]) == (409, "Answer not kept")
    assert await database.pool.fetchval("SELECT count(*) FROM agent_revision") == 1


async def test_answers_are_deleted_after_their_time(
    client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    await create(client)
    await create(client, "two", "k2")
    old = "UPDATE stored_answer SET id = 'ans_01' || repeat('0', 24) WHERE key = 'k'"
    await database.pool.execute(old)

    often = settings.model_copy(update={"journal": JournalSettings(sweep_seconds=0.05)})
    keys = "SELECT array_agg(key) FROM stored_answer"
    async with serving(often):
        with anyio.fail_after(20):
            while await database.pool.fetchval(keys) != ["k2"]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)


async def test_one_key_cancels_one_answer_even_where_its_own_was_lost(
    client: httpx.AsyncClient, database: Database
) -> None:
    """No worker serves: what is started runs until it is cancelled."""
    thread_id = (await start(client, "Hi"))["thread_id"]
    url = f"{THREADS}/{thread_id}"
    first = await client.post(f"{url}/cancel", headers={KEY: "k"})
    assert data(first)["status"] == "user_turn"
    message = {"message": said("Go on.")}
    assert data(await client.post(f"{url}/messages", json=message))["status"] == "roboto_turn"

    again = await client.post(f"{url}/cancel", headers={KEY: "k"})
    await database.pool.execute("DELETE FROM stored_answer")  # as after a crash before its commit
    lost = await client.post(f"{url}/cancel", headers={KEY: "k"})

    assert again.content == first.content
    assert data(lost)["status"] == "roboto_turn"
    assert data(await client.post(f"{url}/cancel", headers={KEY: "k2"}))["status"] == "user_turn"
