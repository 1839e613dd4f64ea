"""Who may use a session, and whether it still exists: the same answer through every door."""

import ast
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import app
from app.access.caller import KeyScope
from app.db.engine import Database
from tests.support.http import NewKey
from tests.support.manifests import post
from tests.support.threads import THREADS, data, said, start

_PRIVATE = "what only Ann may know"


@pytest.fixture
async def stranger(new_key: NewKey) -> dict[str, str]:
    """The headers of another user of the org, who may only read."""
    key = await new_key(user="bob@acme.example", scopes=[KeyScope.READ])
    return {"Authorization": f"Bearer {key.api_key}"}


async def launched(client: httpx.AsyncClient, visibility: str) -> str:
    """The id of a thread of the agent `namer`."""
    listed = data(await client.get("/v1/ai/agents"))["items"]
    if not listed:
        body = {"name": "namer", "request_template": {"messages": [said("Hi")]}}
        listed = [data(await client.post("/v1/ai/agents", json=body), 201)]
    address = f"/v1/ai/agents/{listed[0]['agent_id']}/launch"
    thread_id: str = data(await client.post(address, json={"visibility": visibility}), 201)[
        "thread_id"
    ]
    return thread_id


async def log_of_agent(client: httpx.AsyncClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    answer = await client.post("/api/v1/cli/logs/agent/", params={"name": "namer"}, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["data"]["data"]["items"]
    return items


async def expire(database: Database, thread_id: str) -> None:
    await database.pool.execute(
        "UPDATE session SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1",
        thread_id,
    )


async def test_the_log_of_an_agent_shows_no_private_session_of_others(
    client: httpx.AsyncClient, database: Database, stranger: dict[str, str]
) -> None:
    private, shared = await launched(client, "private"), await launched(client, "org")
    for table in ("transition", "step"):
        await database.pool.execute(
            f"UPDATE {table} SET error = $1 WHERE session_id = $2",  # noqa: S608 - of two names
            _PRIVATE,
            private,
        )

    seen = await log_of_agent(client, stranger)
    own = await log_of_agent(client, {})

    assert shared in {item["by"] for item in seen}
    assert private not in str(seen)
    assert _PRIVATE not in str(seen)
    assert {private, shared} <= {item["by"] for item in own}
    assert _PRIVATE in str(own)


async def test_an_expired_session_is_nowhere_before_it_is_deleted(
    client: httpx.AsyncClient, database: Database
) -> None:
    thread_id = await launched(client, "org")
    pin = f"{THREADS}/{thread_id}/pin"
    assert (await client.post(pin, json={"pinned": True})).is_success
    await expire(database, thread_id)

    listed = data(await client.get(THREADS))["items"]
    found = data(await client.post(f"{THREADS}/search", json={}))["items"]
    table = (await post(client, "get/session"))["data"]["data"]["items"]
    events = [i for i in await log_of_agent(client, {}) if i["type"] != "journal"]
    mine = await client.post("/v1/ai/chat/user_sessions", json={})

    assert listed == found == table == []
    assert events == []
    assert thread_id not in mine.text
    one = f"{THREADS}/{thread_id}"
    opened = {"visibility": "org"}
    rated = {"sentiment": "positive"}
    refused = [
        await client.get(one),
        await client.get(f"{one}/delta"),
        await client.post(pin, json={"pinned": True}),
        await client.post(f"{one}/visibility", json=opened),
        await client.post(f"{one}/messages/0/feedback", json=rated),
        await client.post(f"{one}/messages", json={"message": said("Hi")}),
        await client.post(f"{one}/cancel"),
        await client.post(f"{one}/fork", json={"message_sequence_num": 0}),
        await client.post("/api/v1/cli/describe/session/", params={"name": thread_id}),
        await client.post("/api/v1/cli/logs/session/", params={"name": thread_id}),
        await client.post("/api/v1/cli/delete/session/", params={"name": thread_id}),
        await client.get(f"/v1/ai/chat/task_state/{thread_id}"),
        await client.get(f"/v1/ai/chat/model/{thread_id}"),
        await client.get("/v1/ai/flows/chat/diagram", params={"session_id": thread_id}),
    ]
    assert [answer.status_code for answer in refused] == [404] * len(refused)


async def test_a_private_session_is_refused_to_others_by_every_door(
    client: httpx.AsyncClient, stranger: dict[str, str]
) -> None:
    thread_id = (await start(client, _PRIVATE))["thread_id"]
    one = f"{THREADS}/{thread_id}"
    cli = {"params": {"name": thread_id}, "headers": stranger}
    answers = [
        await client.get(one, headers=stranger),
        await client.get(f"{one}/delta", headers=stranger),
        await client.get(f"/v1/ai/chat/task_state/{thread_id}", headers=stranger),
        await client.get(f"/v1/ai/chat/model/{thread_id}", headers=stranger),
        await client.post("/api/v1/cli/describe/session/", **cli),
        await client.post("/api/v1/cli/logs/session/", **cli),
    ]
    assert all(answer.status_code in {403, 404} for answer in answers)
    assert not any(_PRIVATE in answer.text for answer in answers)


def test_the_rule_stands_in_one_module() -> None:
    root = Path(app.__file__).parent
    rule = root / "sessions" / "visibility.py"
    assert [fault for file in root.rglob("*.py") if file != rule for fault in _faults(file)] == []


# Columns of a session in SQL: `s.expires_at`, or either of them compared with something.
_IN_SQL = re.compile(
    r"\bs\.expires_at\b|\bvisibility\s*(=|<>|!=|IN\b)|expires_at\s*[<>]", re.IGNORECASE
)
_KEYS = {"access/key_holds.py", "manifests/connections.py"}  # which expire too


def _faults(file: Path) -> list[str]:
    """Where a file reads one of the two columns in order to decide something."""
    place = file.relative_to(Path(app.__file__).parent).as_posix()
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Attribute(value=ast.Name("Session"), attr="visibility" | "expires_at"):
                found.append(f"{place}:{node.lineno}")
            case ast.Compare(left=ast.Attribute(attr="visibility")):
                found.append(f"{place}:{node.lineno}")
            case ast.Constant(value=str(text)) if place not in _KEYS and _IN_SQL.search(text):
                found.append(f"{place}:{node.lineno}")
    return found
