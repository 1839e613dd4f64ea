"""Lists and searches of threads, who may read them, pins and feedback."""

from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
from tests.support.http import NewKey
from tests.support.threads import THREADS, answered, data, said, start


async def search(client: httpx.AsyncClient, **criteria: Any) -> list[str]:
    """The ids that a search finds."""
    found = data(await client.post(f"{THREADS}/search", json=criteria))
    return [thread["thread_id"] for thread in found["items"]]


async def bearer(new_key: NewKey, **arguments: Any) -> dict[str, str]:
    """The headers of another user, who is no admin."""
    arguments = {"user": "bob@acme.example", "scopes": [KeyScope.READ, KeyScope.WRITE], **arguments}
    return {"Authorization": f"Bearer {(await new_key(**arguments)).api_key}"}


async def test_the_list_is_newest_first_and_paged(client: httpx.AsyncClient) -> None:
    made = [(await start(client, f"number {n}"))["thread_id"] for n in range(5)]

    pages, token = [], None
    while True:
        params = {"limit": 2} | ({"page_token": token} if token else {})
        page = data(await client.get(THREADS, params=params))
        pages.append([thread["thread_id"] for thread in page["items"]])
        token = page["next_token"]
        if token is None:
            break

    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert data(await client.get(THREADS))["items"][0]["messages"] == []
    for bad in ({"page_token": "x"}, {"limit": 0}, {"limit": 201}):
        assert (await client.get(THREADS, params=bad)).status_code == 400
        assert (await client.post(f"{THREADS}/search", json=bad)).status_code == 400


async def test_threads_are_found_by_status_agent_and_creator(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    agent = {"name": "a", "request_template": {"messages": [said("Hi")]}}
    agent_id = data(await client.post("/v1/ai/agents", json=agent), 201)["agent_id"]
    launched = data(await client.post(f"/v1/ai/agents/{agent_id}/launch", json={}), 201)
    waiting = await start(client, said("Your turn.", "assistant"))
    bobs = await client.post(
        THREADS, json={"messages": [said("Hi")]}, headers=await bearer(new_key)
    )
    bob = data(bobs, 201)

    assert await search(client, agent_id=agent_id) == [launched["thread_id"]]
    assert await search(client, status="user_turn") == [waiting["thread_id"]]
    assert await search(client, created_by=bob["created_by"]) == [bob["thread_id"]]
    assert await search(client, created_by=bob["created_by"], status="user_turn") == []
    assert len(await search(client)) == 3


async def test_text_is_found_as_it_is_written(client: httpx.AsyncClient) -> None:
    texts = ["100% sure", "snake_case", r"C:\temp", 'she said "yes"', "two\nlines", "Größe 🦀"]
    made = {text: (await start(client, text))["thread_id"] for text in texts}
    in_second = await start(client, "plain", said("the answer is Needle", "assistant"))

    for text, thread_id in made.items():
        assert await search(client, text=text) == [thread_id], text
    assert await search(client, text="%") == [made["100% sure"]]
    assert await search(client, text="_") == [made["snake_case"]]
    assert await search(client, text="\\") == [made[r"C:\temp"]]
    assert await search(client, text='d "y') == [made['she said "yes"']]
    assert await search(client, text="NEEDLE") == [in_second["thread_id"]]
    assert await search(client, text='", "') == []
    assert await search(client, text="content_type") == []
    assert await search(client, text="nowhere") == []


async def test_a_private_thread_is_its_creators(client: httpx.AsyncClient, new_key: NewKey) -> None:
    thread_id = (await answered_by_none(client))["thread_id"]
    url, bob = f"{THREADS}/{thread_id}", await bearer(new_key)

    requests = [
        ("GET", url, None),
        ("GET", f"{url}/delta", None),
        ("POST", f"{url}/messages", {"message": said("Hi")}),
        ("POST", f"{url}/cancel", None),
        ("POST", f"{url}/fork", {"message_sequence_num": 0}),
        ("POST", f"{url}/visibility", {"visibility": "org"}),
        ("POST", f"{url}/pin", {"pinned": True}),
        ("POST", f"{url}/messages/1/feedback", {"sentiment": "positive"}),
    ]
    for method, path, body in requests:
        answer = await client.request(method, path, json=body, headers=bob)
        assert answer.status_code == 403, (method, path, answer.text)
    assert data(await client.get(THREADS, headers=bob))["items"] == []
    # Of another org there is nothing at all.
    eve = await bearer(new_key, org="Other", user="eve@other.example", scopes=list(KeyScope))
    for method, path, body in requests:
        answer = await client.request(method, path, json=body, headers=eve)
        assert answer.status_code == 404, (method, path, answer.text)
    assert data(await client.get(THREADS, headers=eve))["items"] == []
    # The admin of the org reads it.
    admin = await bearer(new_key, scopes=list(KeyScope))
    assert data(await client.get(url, headers=admin))["thread_id"] == thread_id


async def answered_by_none(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A thread that waits for its user, with an answer in it, made without a worker."""
    return await start(client, "Hi", said("Hello.", "assistant"), **fields)


async def test_only_the_creator_opens_a_thread_and_closes_it(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    url = f"{THREADS}/{(await answered_by_none(client))['thread_id']}"
    bob, admin = await bearer(new_key), await bearer(new_key, scopes=list(KeyScope))

    for _ in range(2):
        opened = await client.post(f"{url}/visibility", json={"visibility": "org"})
        assert data(opened)["visibility"] == "org"
    assert data(await client.get(url, headers=bob))["visibility"] == "org"
    assert len(data(await client.get(THREADS, headers=bob))["items"]) == 1
    fork = await client.post(f"{url}/fork", json={"message_sequence_num": 1}, headers=bob)
    assert data(fork, 201)["visibility"] == "private"
    for headers in (bob, admin):
        body = {"visibility": "private"}
        refused = await client.post(f"{url}/visibility", json=body, headers=headers)
        assert refused.status_code == 403
    data(await client.post(f"{url}/visibility", json={"visibility": "private"}))
    assert (await client.get(url, headers=bob)).status_code == 403


async def test_a_key_that_only_reads_changes_nothing(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    thread = await answered_by_none(client)
    url = f"{THREADS}/{thread['thread_id']}"
    reader = await bearer(new_key, user="ann@acme.example", scopes=[KeyScope.READ])

    for path, body in [
        (THREADS, {"messages": [said("Hi")]}),
        (f"{url}/messages", {"message": said("Hi")}),
        (f"{url}/tool-results", {"tool_results": []}),
        (f"{url}/cancel", None),
        (f"{url}/fork", {"message_sequence_num": 0}),
        (f"{url}/visibility", {"visibility": "org"}),
        (f"{url}/pin", {"pinned": True}),
        (f"{url}/messages/1/feedback", {"sentiment": "positive"}),
    ]:
        assert (await client.post(path, json=body, headers=reader)).status_code == 403, path
    assert data(await client.get(url, headers=reader)) == data(await client.get(url))
    assert data(await client.post(f"{THREADS}/search", json={}, headers=reader))["items"]


async def test_pins_are_personal_and_shown_in_lists(
    client: httpx.AsyncClient, new_key: NewKey
) -> None:
    thread = await answered_by_none(client, visibility="org")
    url, bob = f"{THREADS}/{thread['thread_id']}", await bearer(new_key)

    async def pinned_at(headers: dict[str, str] | None = None) -> Any:
        return data(await client.get(THREADS, headers=headers))["items"][0]["pinned_at"]

    assert (await client.post(f"{url}/pin", json={"pinned": True})).status_code == 204
    first = await pinned_at()
    assert first is not None
    assert await pinned_at(bob) is None
    await client.post(f"{url}/pin", json={"pinned": True})
    assert await pinned_at() == first
    found = data(await client.post(f"{THREADS}/search", json={"text": "Hi"}))
    assert found["items"][0]["pinned_at"] == first
    assert (await client.post(f"{url}/pin", json={"pinned": True}, headers=bob)).status_code == 204
    for _ in range(2):
        assert (await client.post(f"{url}/pin", json={"pinned": False})).status_code == 204
    assert await pinned_at() is None
    assert await pinned_at(bob) is not None


async def test_feedback_replaces_what_the_same_user_said(
    client: httpx.AsyncClient, new_key: NewKey, worker: None
) -> None:
    thread = await answered(client, "Hi", visibility="org")
    url = f"{THREADS}/{thread['thread_id']}/messages/1/feedback"
    body = {"sentiment": "negative", "categories": ["slow", "incorrect", "slow"], "notes": "  "}

    first = data(await client.post(url, json=body))
    body = {"sentiment": "positive", "categories": ["other"], "notes": "Nice."}
    second = data(await client.post(url, json=body))
    bobs = data(await client.post(url, json=body, headers=await bearer(new_key)))

    assert (first["categories"], first["notes"]) == (["incorrect", "slow"], None)
    assert (first["thread_id"], first["message_sequence_num"]) == (thread["thread_id"], 1)
    assert (second["sentiment"], second["categories"], second["notes"]) == (
        "positive", ["other"], "Nice.",
    )  # fmt: skip
    assert second["feedback_id"] == first["feedback_id"] != bobs["feedback_id"]
    assert second["created"] == first["created"]
    assert second["modified"] > first["modified"]


@pytest.mark.parametrize(
    ("number", "body", "status"),
    [
        (1, {"sentiment": "positive", "categories": ["slow"]}, 400),
        (1, {"sentiment": "negative", "categories": ["helpful"]}, 400),
        (1, {"sentiment": "negative", "categories": ["no_such"]}, 400),
        (1, {"sentiment": "positive", "categories": ["other"]}, 400),
        (1, {"sentiment": "positive", "categories": ["other"], "notes": " "}, 400),
        (1, {"sentiment": "meh"}, 400),
        (0, {"sentiment": "positive"}, 400),  # the user's own
        (3, {"sentiment": "positive"}, 400),  # still being made
        (4, {"sentiment": "positive"}, 404),
        (2**31 - 1, {"sentiment": "positive"}, 404),
        (2**31, {"sentiment": "positive"}, 400),
        (-1, {"sentiment": "positive"}, 400),
    ],
)
async def test_feedback_has_rules(
    client: httpx.AsyncClient, number: int, body: dict[str, Any], status: int
) -> None:
    thread = await start(client, "Hi", said("Hello.", "assistant"), "And now?")

    url = f"{THREADS}/{thread['thread_id']}/messages/{number}/feedback"
    assert (await client.post(url, json=body)).status_code == status
