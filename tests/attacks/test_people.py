"""Who wrote what and who changed what can be seen, also when it is gone."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
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
