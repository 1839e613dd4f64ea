"""Client tools: the model calls them, the client answers, the turn goes on."""

from typing import Any

import httpx
import pytest

from tests.support.threads import (
    THREADS,
    Reader,
    data,
    read,
    send,
    settled,
    start,
    texts,
    transcript,
)

ADD = {
    "name": "client_add",
    "description": "Adds numbers.",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}
LARGE = ADD | {"input_schema": {"type": "object", "properties": {f"p{i}": {} for i in range(200)}}}
WAITING = "client_tool_turn"


@pytest.fixture(autouse=True)
def _served(worker: None) -> None:
    """Each of these turns is run by a worker."""


async def waiting(client: httpx.AsyncClient, message: str) -> dict[str, Any]:
    """Start a thread whose model does what the message says, until it waits for the client."""
    thread = await start(client, message, model_profile="script", client_tools=[ADD])
    return await waited(client, thread["thread_id"])


async def waited(client: httpx.AsyncClient, thread_id: str) -> dict[str, Any]:
    await Reader(client, thread_id).follow(WAITING)
    return await read(client, thread_id)


def uses(thread: dict[str, Any]) -> list[str]:
    """The ids of all calls of a thread."""
    return [b["tool_use_id"] for b in blocks(thread) if b["content_type"] == "tool_use"]


def results(thread: dict[str, Any]) -> dict[str, Any]:
    """The results of a thread, by call: (status, payload)."""
    found = [b for b in blocks(thread) if b["content_type"] == "tool_result"]
    assert len({b["tool_use_id"] for b in found}) == len(found)
    return {b["tool_use_id"]: (b["status"], b["payload"]) for b in found}


def blocks(thread: dict[str, Any]) -> list[dict[str, Any]]:
    return [block for message in thread["messages"] for block in message["content"]]


def result(use: str, output: Any = None, status: str = "success") -> dict[str, Any]:
    output = {"result": 3} if output is None else output
    return {
        "tool_use_id": use,
        "tool_name": "client_add",
        "runtime_ms": 7,
        "status": status,
        "output": output,
    }


async def submit(
    client: httpx.AsyncClient, thread_id: str, *submitted: Any, **fields: Any
) -> httpx.Response:
    body = {"tool_results": list(submitted), **fields}
    return await client.post(f"{THREADS}/{thread_id}/tool-results", json=body)


async def test_a_call_is_answered_by_the_client_and_the_model_goes_on(
    client: httpx.AsyncClient,
) -> None:
    thread = await waiting(client, 'Let me add.\ncall client_add {"a": 1, "b": 2}\nthen')
    assert texts(thread)[1] == "Let me add."
    [use] = uses(thread)
    assert thread["messages"][1]["content"][1] == {
        "content_type": "tool_use",
        "tool_name": "client_add",
        "tool_use_id": use,
        "input": {"a": 1, "b": 2},
        "raw_request": None,
        "answered_by_server": False,
    }

    record = data(await submit(client, thread["thread_id"], result(use)))
    assert record["status"] == "roboto_turn"
    thread = await settled(client, thread["thread_id"])

    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "roboto", "assistant"]
    assert results(thread) == {use: ("success", {"result": 3})}
    assert texts(thread)[3] == "[script model] client_add: {'result': 3}"


async def test_results_may_come_one_by_one_and_stand_in_one_message(
    client: httpx.AsyncClient,
) -> None:
    calls = "\n".join(f'call client_add {{"a": {i}, "b": 0}}' for i in range(3))
    thread = await waiting(client, calls)
    reader = Reader(client, thread["thread_id"])
    await reader.poll()
    first, second, third = uses(thread)

    assert data(await submit(client, thread["thread_id"], result(second)))["status"] == WAITING
    await reader.poll()
    assert reader.messages[2]["status"] == "generating"
    assert [b["tool_use_id"] for b in reader.messages[2]["content"]] == [second]
    assert (await reader.poll())["messages_by_idx"] == {}

    declined = result(third, {}, "declined")
    await submit(client, thread["thread_id"], declined)
    delta = await reader.poll()
    assert delta["reset_from_message_sequence_num"] is None
    assert [b["tool_use_id"] for b in delta["messages_by_idx"]["2"]["content"]] == [third]

    error = result(first, {"error": "no"}, "error")
    assert data(await submit(client, thread["thread_id"], error))["status"] == "roboto_turn"
    await reader.follow()
    thread = await read(client, thread["thread_id"])
    # The time of what was read while it was generated is that of its beginning.
    assert reader.transcript == transcript(thread["messages"])
    assert results(thread) == {
        second: ("success", {"result": 3}),
        third: ("declined", {}),
        first: ("error", {"error": "no"}),
    }
    assert [m["status"] for m in thread["messages"]] == ["completed"] * 4


async def test_the_same_results_again_are_taken_and_others_are_not(
    client: httpx.AsyncClient,
) -> None:
    one, other = uses(
        thread := await waiting(client, "\n".join(['call client_add {"a":1,"b":1}'] * 2))
    )
    thread_id = thread["thread_id"]
    assert (await submit(client, thread_id, result(one))).status_code == 200
    before = await read(client, thread_id)

    assert (await submit(client, thread_id, result(one))).status_code == 200
    assert (await submit(client, thread_id)).status_code == 200
    for wrong in (
        [result(one, {"result": 4})],
        [result("tu_none")],
        [result(other), result(other)],
        [result(other), result(one, {"result": 4})],
    ):
        refused = await submit(client, thread_id, *wrong)
        assert refused.status_code == 400, refused.text
    after = await read(client, thread_id)
    assert after == before | {"continuation_token": after["continuation_token"]}

    assert (await submit(client, thread_id, result(other))).status_code == 200
    await settled(client, thread_id)
    assert (await submit(client, thread_id, result(other))).status_code == 200
    assert (await submit(client, thread_id, result(other, {"x": 1}))).status_code == 400
    assert (await submit(client, thread_id, result("tu_none"))).status_code == 400


async def test_results_share_what_a_model_is_shown_and_are_known_again_as_they_were_sent(
    client: httpx.AsyncClient,
) -> None:
    one, other = uses(
        thread := await waiting(client, "\n".join(['call client_add {"a":1,"b":1}'] * 2))
    )
    thread_id = thread["thread_id"]
    long, longer = {"text": "é" * 600_000}, {"text": "é" * 600_001}
    assert (await submit(client, thread_id, result(one, long))).status_code == 200
    assert (await submit(client, thread_id, result(one, long))).status_code == 200
    assert (await submit(client, thread_id, result(one, longer))).status_code == 400
    assert (await submit(client, thread_id, result(other))).status_code == 200

    found = results(await settled(client, thread_id))
    assert found[other] == ("success", {"result": 3})
    says = "… [cut: each of 2 results may have 1,000,000 bytes, and this one has 1,200,011]"
    assert found[one][1].endswith(says)
    assert len(found[one][1].encode()) <= 1_000_000


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("call client_subtract {}", "There is no tool 'client_subtract'"),
        ('call client_add {"a": 1}', '"b" is a required property'),
        ('call client_add {"a": "x", "b": 1}', "is not of type"),
        ("call client_add [1", "no JSON object"),
    ],
)
async def test_a_call_that_cannot_be_made_is_refused_and_the_model_is_told(
    client: httpx.AsyncClient, call: str, says: str
) -> None:
    thread = await start(
        client, f"{call}\nthen\nI see.", model_profile="script", client_tools=[ADD]
    )
    thread = await settled(client, thread["thread_id"])

    [use] = [b for b in blocks(thread) if b["content_type"] == "tool_use"]
    assert use["answered_by_server"]
    status, payload = results(thread)[use["tool_use_id"]]
    assert status == "error"
    assert says in payload["error"]
    assert texts(thread)[-1] == "I see."


async def test_a_turn_ends_at_its_limit_of_requests(client: httpx.AsyncClient) -> None:
    script = "\nthen\n".join(["call client_none {}"] * 30)
    thread = await start(client, script, model_profile="script", client_tools=[ADD])
    thread = await settled(client, thread["thread_id"])

    assert len(uses(thread)) == len(results(thread)) == 25
    answer = thread["messages"][-2]["content"]
    assert answer[-1]["error_code"] == "max_steps"
    thread_id = (await send(client, thread["thread_id"], "Hello"))["thread_id"]
    assert "nothing to do" not in texts(await settled(client, thread_id))[-1]


@pytest.mark.parametrize("way", ["cancel", "message"])
async def test_what_ends_a_waiting_turn_gives_each_call_a_result(
    client: httpx.AsyncClient, way: str
) -> None:
    thread = await waiting(client, "\n".join(['call client_add {"a":1,"b":1}'] * 2))
    thread_id = thread["thread_id"]
    one, other = uses(thread)
    await submit(client, thread_id, result(one))
    if way == "cancel":
        record = data(await client.post(f"{THREADS}/{thread_id}/cancel"))
        assert record["status"] == "user_turn"
    await send(client, thread_id, "Something else.")
    thread = await settled(client, thread_id)

    assert [m["role"] for m in thread["messages"]] == [
        "user",
        "assistant",
        "roboto",
        "user",
        "assistant",
    ]
    assert results(thread)[one] == ("success", {"result": 3})
    assert results(thread)[other][0] == "error"
    assert texts(thread)[-1] == "Something else."
    assert (await submit(client, thread_id, result(other))).status_code == 400


async def test_a_fork_waits_for_nothing(client: httpx.AsyncClient) -> None:
    thread = await waiting(client, "\n".join(['call client_add {"a":1,"b":1}'] * 2))
    url = f"{THREADS}/{thread['thread_id']}"
    await submit(client, thread["thread_id"], result(uses(thread)[0]))
    assert (await client.post(f"{url}/fork", json={"message_sequence_num": 2})).status_code == 400

    fork = data(await client.post(f"{url}/fork", json={"message_sequence_num": 1}), 201)
    assert fork["status"] == "user_turn"
    await send(client, fork["thread_id"], "Go on.")
    fork = await settled(client, fork["thread_id"])
    assert [m["role"] for m in fork["messages"]] == ["user", "assistant", "user", "assistant"]
    assert (await read(client, thread["thread_id"]))["status"] == WAITING


async def test_tools_are_added_and_replaced_by_name(client: httpx.AsyncClient) -> None:
    thread = await waiting(client, 'call client_add {"a": 1, "b": 2}\nthen\ncall client_more {}')
    more = {"name": "client_more", "description": "", "input_schema": {}}
    thread_id = thread["thread_id"]
    await submit(client, thread_id, result(uses(thread)[0]), client_tools=[more])
    thread = await waited(client, thread_id)
    assert uses(thread)[1:]
    await submit(client, thread_id, result(uses(thread)[1]))
    await settled(client, thread_id)

    url = f"{THREADS}/{thread_id}/messages"
    free = ADD | {"input_schema": {}}
    said = {"role": "user", "content": [{"text": "call client_add {}"}]}
    await client.post(url, json={"message": said, "client_tools": [free]})
    assert len(uses(await waited(client, thread_id))) == 3


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([ADD, ADD], "two tools are named 'client_add'"),
        ([ADD | {"name": "add"}], "pattern"),
        ([ADD | {"input_schema": {"required": 1}}], "no JSON Schema"),
        ([ADD | {"input_schema": {"type": "string"}}], "must be that of an object"),
        ([ADD | {"input_schema": {"$ref": "http://example.com/x"}}], "no JSON Schema"),
        ([ADD | {"input_schema": {"patternProperties": {"(?=a)": {}}}}], "no JSON Schema"),
        ([ADD | {"input_schema": {"a": "x" * 70_000}}], "not usable"),
        ([ADD | {"name": f"client_t{i}"} for i in range(129)] and [{}] * 129, "128"),
        ([LARGE | {"name": f"client_t{i}"} for i in range(40)], "12,000 parts"),
        ([ADD | {"extra": 1}], "extra"),
        ("x", "list"),
    ],
)
async def test_tools_that_are_not_well_declared_are_refused(
    client: httpx.AsyncClient, tools: Any, says: str
) -> None:
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "client_tools": tools}
    response = await client.post(THREADS, json=body)
    assert response.status_code == 400, response.text
    assert says in response.text


async def test_results_that_are_not_well_formed_are_refused(client: httpx.AsyncClient) -> None:
    thread = await waiting(client, 'call client_add {"a": 1, "b": 2}')
    [use] = uses(thread)
    for change in ({"status": "fine"}, {"runtime_ms": -1}, {"output": "x"}, {"tool_use_id": None}):
        refused = await submit(client, thread["thread_id"], result(use) | change)
        assert refused.status_code == 400, refused.text
    event = {"event": "submit_results", "session_id": thread["thread_id"]}
    for text in (
        "",
        "{}",
        "[1]",
        '[{"tool_use_id": "x", "status": "success"}]',
        '[{"\\u0000": 1}]',
    ):
        response = await client.post("/v1/ai/chat/event", json=event | {"event_input": text})
        assert response.status_code == 400, response.text
    assert (await read(client, thread["thread_id"]))["status"] == WAITING
