"""Actions: calls that wait for people, their decisions, and the turns that go on with them."""

import asyncio
from typing import Any

import httpx
import pytest

from app.access.caller import KeyScope
from app.settings import Settings
from tests.support.http import NewKey
from tests.support.http_server import HttpServer, Says
from tests.support.shop import declare, reachable
from tests.support.threads import THREADS, data, read, rested, send, settled, start, texts

pytestmark = pytest.mark.usefixtures("worker")

ACTIONS = "/v1/ai/actions"
DELETE = 'call delete-order {"order_id": "A1"}'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The shop may be reached, and what is late ends soon."""
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.1})
    return reachable(settings).model_copy(update={"session": session})


@pytest.fixture
async def shop(client: httpx.AsyncClient, shop: HttpServer) -> HttpServer:
    """The shop, with a tool that deletes an order."""
    await declare(client, "delete-order")
    return shop


async def asked(
    client: httpx.AsyncClient, script: str = DELETE, actions: int = 1, **fields: Any
) -> dict[str, Any]:
    """Start a thread that does what the script says, until it waits for so many actions."""
    fields = {"tools": ["delete-order"], "visibility": "org", **fields}
    thread = await start(client, script, model_profile="script", **fields)
    return await rested(client, thread["thread_id"], actions)


async def resolve(
    client: httpx.AsyncClient, action: dict[str, Any], decision: str, **fields: Any
) -> httpx.Response:
    headers = fields.pop("headers", None)
    url = f"{ACTIONS}/{action['action_id']}/resolve"
    return await client.post(url, json={"decision": decision, **fields}, headers=headers)


async def listed(client: httpx.AsyncClient, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = data(await client.get(ACTIONS, params=params))["items"]
    return items


async def key(new_key: NewKey, *scopes: KeyScope, **fields: Any) -> dict[str, str]:
    made = await new_key(scopes=list(scopes), **fields)
    return {"Authorization": f"Bearer {made.api_key}"}


def results(thread: dict[str, Any]) -> list[tuple[str, Any]]:
    """Status and payload of each result of a thread."""
    blocks = [block for message in thread["messages"] for block in message["content"]]
    found = [block for block in blocks if block["content_type"] == "tool_result"]
    assert len({block["tool_use_id"] for block in found}) == len(found)
    uses = [block["tool_use_id"] for block in blocks if block["content_type"] == "tool_use"]
    assert {block["tool_use_id"] for block in found} <= set(uses)
    return [(block["status"], block["payload"]) for block in found]


async def test_an_approved_call_is_made_and_the_turn_goes_on(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    thread = await asked(client, f"I will delete it.\n{DELETE}\nthen")
    [action] = thread["required_actions"]
    assert thread["status"] == "roboto_turn"
    assert thread["activity"] == "Waiting for approval of delete-order"
    assert (action["kind"], action["status"], action["tool_name"]) == (
        "approval",
        "open",
        "delete-order",
    )
    assert action["arguments"] == {"order_id": "A1"}
    assert await listed(client, status="open", session=thread["thread_id"]) == [action]
    poll = {"session_id": thread["thread_id"], "event": "poll"}
    polled = (await client.post("/v1/ai/chat/event", json=poll)).json()
    assert polled["required_actions"] == [action]
    assert polled["next_actions"] == ["user_message", "cancel"]
    assert shop.requests == []

    record = data(await resolve(client, action, "approve"))
    assert (record["status"], record["decision"]) == ("approved", "approve")
    assert record["resolved_by"] == thread["created_by"]
    thread = await settled(client, thread["thread_id"])

    assert [request.url for request in shop.requests] == ["/v2/orders/A1"]
    assert results(thread) == [("success", "fine")]
    assert texts(thread)[-1] == "[script model] delete-order: fine"
    assert (thread["activity"], thread["required_actions"]) == (None, [])
    assert await listed(client, status="open") == []
    assert data(await client.get(f"{ACTIONS}/{action['action_id']}")) == record


async def test_a_denied_call_is_not_made_and_the_model_is_told_why(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    thread = await asked(client, f"{DELETE}\nthen\nI see.")
    [action] = thread["required_actions"]
    record = data(await resolve(client, action, "deny", message="It is paid for."))
    assert (record["status"], record["message"]) == ("denied", "It is paid for.")
    thread = await settled(client, thread["thread_id"])

    assert results(thread) == [("declined", {"error": "A person denied the call. It is paid for."})]
    assert texts(thread)[-1] == "I see."
    assert shop.requests == []


async def test_arguments_may_be_changed_and_are_held_against_the_schema(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    [action] = (thread := await asked(client))["required_actions"]
    wrong = await resolve(client, action, "approve", arguments={"order_id": "B2", "amount": "x"})
    assert wrong.status_code == 400
    assert [fault["loc"] for fault in wrong.json()["errors"]] == [["body", "arguments", "amount"]]

    record = data(await resolve(client, action, "approve", arguments={"order_id": "B2"}))
    assert record["arguments"] == {"order_id": "A1"}
    assert record["decided_arguments"] == {"order_id": "B2"}
    thread = await settled(client, thread["thread_id"])
    assert [request.url for request in shop.requests] == ["/v2/orders/B2"]
    [result] = thread["messages"][2]["content"]
    assert result["arguments"] == {"order_id": "B2"}
    assert (
        "{'arguments_changed_by_a_person': {'order_id': 'B2'}, 'result': 'fine'}"
        in texts(thread)[-1]
    )


async def test_a_decision_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    [action] = (thread := await asked(client))["required_actions"]
    for decision, fields, member in (
        ("answer", {"result": "x"}, "decision"),
        ("approve", {"result": "x"}, "result"),
        ("deny", {"arguments": {"order_id": "B2"}}, "arguments"),
        ("perhaps", {}, "decision"),
        ("deny", {"message": "x" * 10_001}, "message"),
        ("deny", {"more": 1}, "more"),
    ):
        refused = await resolve(client, action, decision, **fields)
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["loc"][:2] == ["body", member]
    event = {"event": "resolve_action", "session_id": thread["thread_id"]}
    event["event_input"] = f'{{"action_id": "{action["action_id"]}", "decision": "approve"}}'
    assert (await client.post("/v1/ai/chat/event", json=event)).status_code == 409
    assert (await read(client, thread["thread_id"]))["required_actions"] == [action]


async def test_of_two_deciders_one_wins_and_the_same_decision_again_changes_nothing(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    [action] = (thread := await asked(client))["required_actions"]
    decisions = ["approve", "deny"] * 4
    answers = await asyncio.gather(*(resolve(client, action, each) for each in decisions))
    won = {
        each: [a for a, d in zip(answers, decisions, strict=True) if d == each]
        for each in decisions
    }
    winner = next(each for each, given in won.items() if given[0].status_code == 200)
    other = "deny" if winner == "approve" else "approve"

    record = data(won[winner][0])
    assert [data(answer) for answer in won[winner]] == [record] * 4
    assert [answer.status_code for answer in won[other]] == [409] * 4
    assert [answer.json()["action"] for answer in won[other]] == [record] * 4
    thread = await settled(client, thread["thread_id"])
    assert len(shop.requests) == (winner == "approve")
    assert len(results(thread)) == 1
    assert data(await resolve(client, action, winner)) == record


async def test_an_approval_with_other_arguments_is_another_decision(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    [action] = (await asked(client))["required_actions"]
    record = data(await resolve(client, action, "approve"))

    assert data(await resolve(client, action, "approve", arguments={"order_id": "A1"})) == record
    for others in ({}, {"order_id": "B2"}, {"order_id": "A1", "amount": 1}):
        refused = await resolve(client, action, "approve", arguments=others)
        assert refused.status_code == 409
        assert refused.json()["action"] == record


@pytest.mark.parametrize("way", ["cancel", "message"])
async def test_what_ends_a_turn_closes_its_actions(
    client: httpx.AsyncClient, shop: HttpServer, way: str
) -> None:
    thread = await asked(client, f"{DELETE}\n{DELETE}", actions=2)
    thread_id, [action, _] = thread["thread_id"], thread["required_actions"]
    if way == "cancel":
        record = data(await client.post(f"{THREADS}/{thread_id}/cancel"))
        assert (record["status"], record["required_actions"]) == ("user_turn", [])
    await send(client, thread_id, "Something else.")
    thread = await settled(client, thread_id)

    assert [status for status, _ in results(thread)] == ["error", "error"]
    assert {a["status"] for a in await listed(client, session=thread_id)} == {"cancelled"}
    late = await resolve(client, action, "approve")
    assert late.status_code == 409
    assert late.json()["action"]["status"] == "cancelled"
    assert shop.requests == []


@pytest.mark.parametrize(
    ("expiry", "result"),
    [
        (None, ("declined", "Nobody approved the call in time.")),
        ("fail", ("error", "Nobody answered in time, so the call was given up.")),
        ("cancel", ("error", "The turn ended: nobody answered in time.")),
    ],
)
async def test_an_action_that_nobody_resolves_in_time_expires_once(
    client: httpx.AsyncClient, shop: HttpServer, expiry: str | None, result: tuple[str, str]
) -> None:
    fields = {"approval_timeout": 0.5, "approval_expiry": expiry}
    thread = await asked(client, f"{DELETE}\nthen\nI see.", **fields)
    thread = await settled(client, thread["thread_id"])

    status, text = result
    assert results(thread) == [(status, {"error": text})]
    assert (texts(thread)[-1] == "I see.") is (expiry != "cancel")
    [action] = await listed(client, session=thread["thread_id"])
    assert (action["status"], action["resolved_by"]) == ("expired", None)
    assert (await resolve(client, action, "approve")).status_code == 409
    assert shop.requests == []


async def test_a_tool_says_for_how_long_its_calls_wait(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    await declare(client, "find-order", approvalTimeout=0.5)
    other = 'call find-order {"order_id": "A1"}'
    fields = {"tools": ["delete-order", "find-order"], "approval_timeout": 3600}
    thread = await asked(client, f"{DELETE}\n{other}", actions=2, **fields)
    while len(results(thread)) < 1:
        thread = await read(client, thread["thread_id"])
    assert results(thread) == [("declined", {"error": "Nobody approved the call in time."})]
    [left] = thread["required_actions"]
    assert left["tool_name"] == "delete-order"


async def test_who_may_decide_is_as_the_thread_says(
    client: httpx.AsyncClient, shop: HttpServer, new_key: NewKey
) -> None:
    reads = await key(new_key, KeyScope.READ, user="eve@acme.example")
    writes = await key(new_key, KeyScope.WRITE, user="eve@acme.example")
    approves = await key(new_key, KeyScope.APPROVE, user="bob@acme.example")
    owner = await key(new_key, KeyScope.WRITE)
    owner_reads = await key(new_key, KeyScope.READ)
    strangers = await key(new_key, KeyScope.ADMIN, org="Other", user="mal@other.example")
    private = await asked(client, visibility="private")

    for approvers, refused, taken in (
        (None, (reads, writes, owner_reads), (approves, owner)),
        ("owner", (reads, writes, owner_reads, approves), (owner,)),
        ("scope", (reads, writes, owner_reads, owner), (approves,)),
    ):
        for headers in taken:
            thread = await asked(client, approvers=approvers)
            [action] = thread["required_actions"]
            for other in refused:
                assert (await resolve(client, action, "deny", headers=other)).status_code == 403
            answer = await resolve(client, action, "deny", headers=strangers)
            assert answer.status_code == 404
            assert (
                data(await resolve(client, action, "deny", headers=headers))["status"] == "denied"
            )

    [hidden] = private["required_actions"]
    assert (await resolve(client, hidden, "deny", headers=approves)).status_code == 403
    url = f"{ACTIONS}/{hidden['action_id']}"
    assert (await client.get(url, headers=approves)).status_code == 403
    mine = data(await client.get(ACTIONS, params={"status": "open"}))["items"]
    seen = data(await client.get(ACTIONS, params={"limit": 200}, headers=approves))["items"]
    assert [action["action_id"] for action in mine] == [hidden["action_id"]]
    assert hidden["action_id"] not in {action["action_id"] for action in seen}
    assert data(await client.get(ACTIONS, headers=strangers))["items"] == []


@pytest.mark.parametrize("decision", ["approve", "answer", "deny"])
async def test_people_say_what_became_of_a_call_whose_outcome_is_not_known(
    client: httpx.AsyncClient, shop: HttpServer, decision: str
) -> None:
    shop.script(Says(delay=5))
    await declare(client, "delete-order", approval="never", timeout=0.3)
    thread = await asked(client, f"{DELETE}\nthen")
    [action] = thread["required_actions"]
    assert action["kind"] == "unknown_outcome"
    assert thread["activity"] == "Waiting for word on what became of delete-order"
    assert len(shop.requests) == 1
    assert (await resolve(client, action, "answer")).status_code == 400

    fields = {"answer": {"result": {"gone": True}}, "deny": {"message": "Forget it."}}
    data(await resolve(client, action, decision, **fields.get(decision, {})))
    thread = await settled(client, thread["thread_id"])
    if decision == "approve":
        assert results(thread) == [("success", "fine")]
        keys = [request.headers["idempotency-key"] for request in shop.requests]
        assert len(set(keys)) == 2
        return
    assert len(shop.requests) == 1
    [(status, payload)] = results(thread)
    if decision == "answer":
        assert (status, payload) == ("success", {"gone": True})
    else:
        assert status == "error"
        assert payload["error"].endswith("Forget it.")


@pytest.mark.parametrize("way", ["cancel", "message", "expiry"])
async def test_a_call_that_may_have_been_made_says_so_where_nobody_says_what_became_of_it(
    client: httpx.AsyncClient, shop: HttpServer, way: str
) -> None:
    shop.script(Says(delay=5))
    await declare(client, "delete-order", approval="never", timeout=0.1)
    wait = {"approval_timeout": 0.1} if way == "expiry" else {}
    thread = await start(client, DELETE, model_profile="script", tools=["delete-order"], **wait)
    if way != "expiry":
        await rested(client, thread["thread_id"])
    if way == "cancel":
        data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))
    elif way == "message":
        await send(client, thread["thread_id"], "Go on.")
    thread = await settled(client, thread["thread_id"])

    [(status, payload)] = results(thread)
    assert status == "error"
    assert payload["error"].endswith("whether it was done is not known.")
    assert len(shop.requests) == 1


async def test_what_needs_nobody_goes_first_and_nothing_runs_while_a_client_is_asked(
    client: httpx.AsyncClient, shop: HttpServer
) -> None:
    tool = {"name": "client_add", "description": "", "input_schema": {}}
    await declare(client, "find-order", approval={"when": "amount > 100"})
    small, large = (f'call find-order {{"order_id": "{n}", "amount": {n}}}' for n in (5, 500))
    thread = await asked(
        client,
        f"call client_add {{}}\n{DELETE}\n{large}\n{small}\nthen",
        actions=3,
        tools=["delete-order", "find-order"],
        client_tools=[tool],
    )
    thread_id = thread["thread_id"]
    while thread["status"] != "client_tool_turn":
        thread = await read(client, thread_id)
    added, delete, find = thread["required_actions"]
    assert [a["kind"] for a in (added, delete, find)] == ["client_tool", "approval", "approval"]
    assert thread["activity"] == "Waiting for approval of delete-order, find-order"
    assert [request.url for request in shop.requests] == ["/v2/orders/5?amount=5"]

    data(await resolve(client, delete, "approve"))
    assert (await read(client, thread_id))["status"] == "client_tool_turn"
    assert len(shop.requests) == 1
    result = {"tool_use_id": added["tool_use_id"], "tool_name": "client_add", "runtime_ms": 1}
    body = {"tool_results": [result | {"status": "success", "output": {"result": 3}}]}
    data(await client.post(f"{THREADS}/{thread_id}/tool-results", json=body))
    while len(results(thread)) < 3:
        thread = await read(client, thread_id)
    assert (thread["status"], len(shop.requests)) == ("roboto_turn", 2)
    found = data(await client.post(f"{THREADS}/search", json={"status": "roboto_turn"}))["items"]
    assert [item["thread_id"] for item in found] == [thread_id]
    assert thread["messages"][2]["status"] == "generating"

    data(await resolve(client, find, "deny"))
    thread = await settled(client, thread_id)
    assert [m["role"] for m in thread["messages"]] == ["user", "assistant", "roboto", "assistant"]
    assert sorted(status for status, _ in results(thread)) == ["declined"] + ["success"] * 3
    ended = {a["action_id"]: a["status"] for a in await listed(client, session=thread_id)}
    assert [ended[a["action_id"]] for a in (added, delete, find)] == [
        "answered",
        "approved",
        "denied",
    ]
