"""Starting, driving, cancelling and forking threads over HTTP, with a real worker."""

import asyncio
from typing import Any

import httpx
import pytest

from app.settings import LlmSettings, Settings
from tests.support.threads import (
    THREADS,
    Reader,
    answered,
    data,
    read,
    said,
    send,
    settled,
    start,
    texts,
    transcript,
)


@pytest.fixture
def slow(settings: Settings) -> Settings:
    """The model pauses for 50 ms before each further word. Ask for it before `worker`."""
    settings.llm = LlmSettings(echo_delay_seconds=0.05)
    return settings


async def test_a_thread_answers_and_goes_on(client: httpx.AsyncClient, worker: None) -> None:
    started = await start(client, "Hello there")
    assert started["status"] == "roboto_turn"
    assert started["title"] == "Hello there"
    assert started["visibility"] == "private"

    thread = await settled(client, started["thread_id"])
    assert thread["status"] == "user_turn"
    assert texts(thread) == ["Hello there", "[echo model] You said: Hello there"]
    assert [m["status"] for m in thread["messages"]] == ["completed", "completed"]

    assert (await send(client, thread["thread_id"], "again"))["status"] == "roboto_turn"
    thread = await settled(client, thread["thread_id"])
    assert texts(thread)[2:] == ["again", "[echo model] You said: again"]


async def test_a_seeded_transcript_is_kept_and_answered(
    client: httpx.AsyncClient, worker: None
) -> None:
    seed = [said("One"), said("Yes, one.", "assistant"), said("Two")]

    thread = await answered(client, *seed, system_prompt="Be brief.")

    assert texts(thread) == ["One", "Yes, one.", "Two", "[echo model] You said: Two"]
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "user", "assistant"]


async def test_a_thread_whose_last_message_is_the_assistants_waits_for_the_user(
    client: httpx.AsyncClient, worker: None
) -> None:
    thread = await start(client, "Hi", said("What shall I do?", "assistant"))
    assert thread["status"] == "user_turn"

    await send(client, thread["thread_id"], "Nothing.")
    thread = await settled(client, thread["thread_id"])

    assert texts(thread) == [
        "Hi", "What shall I do?", "Nothing.", "[echo model] You said: Nothing.",
    ]  # fmt: skip


async def test_an_unknown_flow_is_refused(client: httpx.AsyncClient) -> None:
    body = {"messages": [said("Hi")], "flow": "no-such-flow"}

    answer = await client.post(THREADS, json=body)

    assert answer.status_code == 400
    assert "no-such-flow" in answer.json()["detail"]
    assert answer.json()["errors"][0]["loc"] == ["body", "flow"]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "messages"]),
        ({"messages": []}, ["body", "messages"]),
        ({"messages": [{"role": "user", "content": []}]}, ["body", "messages", 0, "content"]),
        ({"messages": [said("x", "roboto")]}, ["body", "messages", 0, "role"]),
        ({"messages": [said("x")], "visibility": "world"}, ["body", "visibility"]),
        ({"messages": [said("x")], "colour": "red"}, ["body", "colour"]),
    ],
)
async def test_bad_starts_say_what_is_wrong_and_where(
    client: httpx.AsyncClient, body: dict[str, Any], loc: list[Any]
) -> None:
    answer = await client.post(THREADS, json=body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == loc


async def test_messages_are_loaded_where_they_are_asked_for(
    client: httpx.AsyncClient, worker: None
) -> None:
    thread = await answered(client, "Hi")
    url = f"{THREADS}/{thread['thread_id']}"

    bare = data(await client.get(url, params={"load_messages": "false"}))

    # Goals point at messages, so they come with them.
    absent = {"messages": [], "goals": None}
    assert bare == thread | absent | {"continuation_token": bare["continuation_token"]}
    # Its token leads to all that is not in it; the other's to nothing.
    reader = Reader(client, thread["thread_id"], token=bare["continuation_token"])
    await reader.poll()
    assert reader.transcript == transcript(thread["messages"])
    reader = Reader(client, thread["thread_id"], token=thread["continuation_token"])
    assert (await reader.poll())["messages_by_idx"] == {}


async def test_one_key_starts_one_thread(client: httpx.AsyncClient, worker: None) -> None:
    headers = {"Idempotency-Key": "start-1"}
    body = {"messages": [said("Hi")]}

    first = await client.post(THREADS, json=body, headers=headers)
    await settled(client, data(first, 201)["thread_id"])
    second = await client.post(THREADS, json=body, headers=headers)
    other = await client.post(THREADS, json={"messages": [said("Ho")]}, headers=headers)

    assert (second.status_code, second.content) == (201, first.content)
    assert other.status_code == 422
    assert len(data(await client.get(THREADS))["items"]) == 1


async def test_one_key_launches_once_even_if_the_agent_changed(client: httpx.AsyncClient) -> None:
    template = {"messages": [said("About {{topic}}")]}
    agent = {"name": "a", "request_template": template, "variables": [{"name": "topic"}]}
    agent_id = data(await client.post("/v1/ai/agents", json=agent), 201)["agent_id"]
    url, headers = f"/v1/ai/agents/{agent_id}", {"Idempotency-Key": "launch-1"}
    body = {"values": {"topic": "tea"}}

    first = await client.post(f"{url}/launch", json=body, headers=headers)
    template = {"messages": [said("Tell me about {{topic}}")]}
    data(await client.put(url, json={"request_template": template}))
    second = await client.post(f"{url}/launch", json=body, headers=headers)
    body = {"values": {"topic": "rum"}}
    other = await client.post(f"{url}/launch", json=body, headers=headers)

    assert data(first, 201)["created_from_agent_id"] == agent_id
    assert (second.status_code, second.content) == (201, first.content)
    assert other.status_code == 422


async def test_one_key_says_it_once(client: httpx.AsyncClient, worker: None) -> None:
    thread = await answered(client, "Hi")
    url, headers = f"{THREADS}/{thread['thread_id']}/messages", {"Idempotency-Key": "m-1"}
    body = {"message": said("Once")}

    answers = await asyncio.gather(*(client.post(url, json=body, headers=headers) for _ in "12345"))
    after = await settled(client, thread["thread_id"])
    late = await client.post(url, json=body, headers=headers)
    other = await client.post(url, json={"message": said("Twice")}, headers=headers)

    assert {a.status_code for a in answers} == {200}
    assert {a.content for a in answers} == {late.content}
    assert texts(after)[2:] == ["Once", "[echo model] You said: Once"]
    assert texts(await read(client, thread["thread_id"])) == texts(after)
    assert other.status_code == 422


async def test_another_users_key_is_another_key(
    client: httpx.AsyncClient, new_key: Any, worker: None
) -> None:
    headers = {"Idempotency-Key": "same"}
    body = {"messages": [said("Hi")]}
    mine = data(await client.post(THREADS, json=body, headers=headers), 201)
    bob = await new_key(user="bob@acme.example")

    headers["Authorization"] = f"Bearer {bob.api_key}"
    his = data(await client.post(THREADS, json=body, headers=headers), 201)

    assert his["thread_id"] != mine["thread_id"]
    assert his["created_by"] != mine["created_by"]


async def test_messages_out_of_turn_are_a_conflict(client: httpx.AsyncClient) -> None:
    thread = await start(client, "Hi")  # there is no worker: it stays the model's turn

    answer = await client.post(
        f"{THREADS}/{thread['thread_id']}/messages", json={"message": said("Hurry")}
    )

    assert answer.status_code == 409
    problem = answer.json()
    assert problem["current_state"] == "roboto_turn"
    assert problem["possible_events"] == []
    assert problem["received_event"] == "message"
    assert texts(await read(client, thread["thread_id"])) == ["Hi"]


async def test_cancel_keeps_what_there_is_and_the_thread_goes_on(
    client: httpx.AsyncClient, slow: Settings, worker: None
) -> None:
    thread = await start(client, " ".join(f"w{n}" for n in range(500)))
    thread_id = thread["thread_id"]
    reader = Reader(client, thread_id, thread["messages"], thread["continuation_token"])
    while len(reader.messages) < 2 or not reader.messages[1]["content"]:
        await reader.poll(wait=5)

    record = data(await client.post(f"{THREADS}/{thread_id}/cancel"))
    assert record["status"] == "user_turn"
    cancelled = await read(client, thread_id)
    await reader.poll(wait=5)

    assert reader.transcript == transcript(cancelled["messages"])
    _, status, text, others = reader.transcript[1]
    assert status == "cancelled"
    assert text.startswith("[echo")
    assert "w499" not in text
    assert [block["error_code"] for block in others] == ["cancelled"]
    slow.llm.echo_delay_seconds = 0.0
    await send(client, thread_id, "Short")
    assert texts(await settled(client, thread_id))[2:] == ["Short", "[echo model] You said: Short"]


async def test_cancel_before_a_worker_came_and_where_nothing_runs(
    client: httpx.AsyncClient,
) -> None:
    thread = await start(client, "Hi")
    url = f"{THREADS}/{thread['thread_id']}/cancel"

    for _ in range(2):
        assert data(await client.post(url))["status"] == "user_turn"

    messages = (await read(client, thread["thread_id"]))["messages"]
    assert [(m["role"], m["status"]) for m in messages] == [
        ("user", "completed"),
        ("assistant", "cancelled"),
    ]


async def test_a_fork_has_the_messages_and_is_private(
    client: httpx.AsyncClient, worker: None
) -> None:
    source = await answered(client, "One", visibility="org")
    await send(client, source["thread_id"], "Two")
    source = await settled(client, source["thread_id"])
    url = f"{THREADS}/{source['thread_id']}/fork"

    fork = data(await client.post(url, json={"message_sequence_num": 1}), 201)

    assert fork["thread_id"] != source["thread_id"]
    assert fork["forked_from_thread_id"] == source["thread_id"]
    assert fork["forked_from_message_sequence_num"] == 1
    assert (fork["visibility"], fork["status"]) == ("private", "user_turn")
    assert texts(fork) == texts(source)[:2]
    await send(client, fork["thread_id"], "Three")
    assert texts(await settled(client, fork["thread_id"]))[2:] == [
        "Three",
        "[echo model] You said: Three",
    ]
    assert texts(await read(client, source["thread_id"])) == texts(source)
    for number in (4, 2**31 - 1):
        refused = await client.post(url, json={"message_sequence_num": number})
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["loc"] == ["body", "message_sequence_num"]
    for number in (-1, 2**31, "x", None):
        refused = await client.post(url, json={"message_sequence_num": number})
        assert refused.status_code == 400


async def test_a_message_that_is_being_made_cannot_be_forked_at(client: httpx.AsyncClient) -> None:
    thread = await start(client, "Hi")

    url = f"{THREADS}/{thread['thread_id']}/fork"
    refused = await client.post(url, json={"message_sequence_num": 1})

    assert refused.status_code == 400


async def test_a_fork_keeps_the_system_prompt(client: httpx.AsyncClient, database: Any) -> None:
    source = await start(client, "Hi", system_prompt="Speak Latin.")
    url = f"{THREADS}/{source['thread_id']}/fork"

    fork = data(await client.post(url, json={"message_sequence_num": 0}), 201)

    ids = [source["thread_id"], fork["thread_id"]]
    rows = await database.pool.fetch("SELECT model FROM session WHERE id = ANY($1)", ids)
    assert len({row["model"] for row in rows}) == 1


async def test_the_title_is_how_the_user_begins(client: httpx.AsyncClient) -> None:
    long = await start(client, "word " * 100)
    assert len(long["title"]) <= 80
    assert long["title"].endswith("…")
    spaced = await start(client, said("I begin", "assistant"), said(" two\n lines "))
    assert spaced["title"] == "two lines"
