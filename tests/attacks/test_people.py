"""Who wrote what and who changed what can be seen, also when it is gone."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.access.caller import KeyScope
from app.db.engine import Database
from app.settings import Settings
from app.worker import serving
from tests.support.http import NewKey
from tests.support.manifests import post
from tests.support.threads import THREADS, data, read, said, settled, start

ORG = {"visibility": "org"}
Person = dict[str, str]


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with serving(settings):
        yield


@pytest.fixture
async def bob(new_key: NewKey) -> Person:
    """A member of the org who may write, as headers."""
    key = await new_key(user="bob@acme.example", scopes=[KeyScope.WRITE])
    return {"Authorization": f"Bearer {key.api_key}", "user": key.user_id}


async def logs(client: httpx.AsyncClient, kind: str, name: str) -> list[dict[str, Any]]:
    answer = await post(client, f"logs/{kind}", name=name)
    items: list[dict[str, Any]] = answer["data"]["data"]["items"]
    return items


async def test_each_message_of_a_person_says_who_wrote_it(
    client: httpx.AsyncClient, worker: None, bob: Person
) -> None:
    thread = await start(client, "I am Ann.", **ORG)
    ann, thread_id = thread["created_by"], thread["thread_id"]
    await settled(client, thread_id)
    body = {"message": said("I am Ann too, said Bob.")}
    data(await client.post(f"{THREADS}/{thread_id}/messages", json=body, headers=bob))
    thread = await settled(client, thread_id)
    authors = [m.get("created_by") for m in thread["messages"]]
    assert authors == [ann, None, bob["user"], None]
    forked = await client.post(
        f"{THREADS}/{thread_id}/fork", json={"message_sequence_num": 2}, headers=bob
    )
    fork = await read(client, data(forked, 201)["thread_id"])
    assert [m.get("created_by") for m in fork["messages"]] == [ann, None, bob["user"]]

    events = [e["text"] for e in await logs(client, "Session", thread_id) if e["type"] == "event"]
    by = [text.partition(", by ")[2] for text in events if ", by " in text]
    assert by == ["ann@acme.example", "bob@acme.example"]


async def test_a_session_of_somebody_else_is_deleted_by_admins_alone(
    client: httpx.AsyncClient, worker: None, bob: Person
) -> None:
    thread_id = (await start(client, "Mine.", **ORG))["thread_id"]
    await settled(client, thread_id)
    url = f"/api/v1/cli/delete/Session/?name={thread_id}"
    answer = await client.post(url, headers=bob)
    assert answer.status_code == 403
    assert "scope 'admin'" in answer.json()["detail"]
    assert (await read(client, thread_id))["thread_id"] == thread_id

    body = {"messages": [said("Bob's own.")], "visibility": "org"}
    own = data(await client.post(THREADS, json=body, headers=bob), 201)["thread_id"]
    answer = await client.post(f"/api/v1/cli/delete/Session/?name={own}", headers=bob)
    assert answer.status_code == 200, answer.text

    await post(client, "delete/Session", name=thread_id)
    assert (await client.get(f"{THREADS}/{thread_id}")).status_code == 404
    kept = await logs(client, "Session", thread_id)
    assert "by ann@acme.example" in kept[0]["text"]
    assert {e["text"].partition(":")[0] for e in kept} >= {"delete", "keep", "reply"}
    [deleted] = [e for e in kept if e["text"] == "delete" and e["status"] == "200"]
    assert deleted["by"] == "ann@acme.example"
    url = f"/api/v1/cli/logs/Session/?name={thread_id}"
    assert (await client.post(url, headers=bob)).status_code == 404  # admins alone know it was


TEXT = {"role": "user", "content": [{"text": "Hi"}]}
AGENT = {"name": "first", "request_template": {"messages": [TEXT]}}
SKILL = {"name": "first", "description": "d", "body": "b"}
MORE = {"description": "d", "body": "b"}
# Each operation that changes a declared resource, with a body that does; in an order that works.
CHANGES: dict[tuple[str, str], Any] = {
    ("post", "/v1/ai/agents"): AGENT,
    ("put", "/v1/ai/agents/{agent_id}"): {"name": "second"},
    ("delete", "/v1/ai/agents/{agent_id}"): None,
    ("post", "/v1/skills/create"): SKILL,
    ("put", "/v1/skills/id/{skill_id}"): {"name": "second"},
    ("post", "/v1/skills/id/{skill_id}/versions"): MORE,
    ("put", "/v1/skills/id/{skill_id}/versions/{version}"): {"body": "c"},
    ("post", "/v1/skills/id/{skill_id}/subscribe"): None,
    ("put", "/v1/skills/id/{skill_id}/subscribe"): {"ai_version": 1},
    ("delete", "/v1/skills/id/{skill_id}/subscribe"): None,
    ("delete", "/v1/skills/id/{skill_id}/versions/{version}"): None,
    ("delete", "/v1/skills/id/{skill_id}"): None,
    ("post", "/v1/ai/threads/{thread_id}/visibility"): {"visibility": "private"},
    ("post", "/v1/ai/threads/{thread_id}/pin"): {"pinned": True},
    ("post", "/v1/ai/threads/{thread_id}/messages/{message_number}/feedback"): {
        "sentiment": "positive"
    },
}
# What is in the log of a session itself, or changes nothing.
OTHERS = re.compile(
    r"/api/v1/cli/|/v1/ai/\{flow\}/|/v1/ai/threads(/search)?$|/v1/ai/actions/|/v1/chat/|/mcp"
    r"|/v1/ai/agents/\{agent_id\}/(launch|preview)$"
    r"|/v1/ai/threads/\{thread_id\}/(messages|tool-results|cancel|retry|fork)$"
)


def test_each_operation_that_changes_a_resource_is_in_the_walk(api: FastAPI) -> None:
    changing = {
        (method, path)
        for path, operations in api.openapi()["paths"].items()
        for method in operations
        if method in {"post", "put", "patch", "delete"} and not OTHERS.search(path)
    }
    assert changing == CHANGES.keys()


async def test_each_change_over_rest_is_in_the_journal(
    client: httpx.AsyncClient, worker: None, database: Database
) -> None:
    """With who changed which resource; under its new and its old name, and when it is gone."""
    thread = await settled(client, (await start(client, "Hi."))["thread_id"])
    values = {"thread_id": thread["thread_id"], "message_number": "1", "version": "1"}
    for (method, path), body in CHANGES.items():
        answer = await client.request(method, path.format(**values), json=body)
        assert answer.is_success, (path, answer.text)
        made = answer.json()["data"] if answer.content else {}
        values |= {name: made[name] for name in ("agent_id", "skill_id") if name in made}
        kind, user = await database.pool.fetchrow(
            "SELECT kind, user_id FROM journal ORDER BY created DESC, id DESC LIMIT 1"
        )
        assert kind == ("Agent" if "agents" in path else "Skill" if "skill" in path else "Session")
        assert user == thread["created_by"]
    for kind, changes in (("Agent", 3), ("Skill", 9)):
        for name in ("first", "second"):
            found = await logs(client, kind, name)
            assert {e["by"] for e in found} == {"ann@acme.example"}
            texts = [e["text"] for e in found]
            assert texts[0] == "create"
            assert texts[-1] == "delete"
            assert texts.count("rename: first → second") == 1
            assert len(texts) == changes
