"""Flows that ask people: steps that an answer finishes, over HTTP with a real worker."""

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.access.caller import KeyScope
from app.settings import Settings
from app.worker import serving
from tests.sessions.test_actions import ACTIONS, key, listed, resolve
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session, flow_of
from tests.support.http import NewKey
from tests.support.manifests import post
from tests.support.threads import THREADS, Reader, data, read, said, texts

pytestmark = pytest.mark.usefixtures("worker")

AMOUNT = {
    "type": "object",
    "properties": {"amount": {"type": "number", "minimum": 0}, "note": {"type": "string"}},
    "required": ["amount"],
}
ASK = {"message": "Refund {{ actor_input }}?", "schema": AMOUNT}
ANY = {"message": "What?", "schema": {}}
PAID = "{{ parsed_previous_result.amount }} of {{ actor_input }}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """What is late ends soon."""
    session = settings.session.model_copy(update={"expire_sweep_seconds": 0.1})
    return settings.model_copy(update={"session": session})


class Asking:
    """A flow whose one invoker state has a template, with a session of it."""

    def __init__(self, client: httpx.AsyncClient, session: Session) -> None:
        self.client = client
        self.session = session

    async def asked(self, actions: int = 1) -> list[dict[str, Any]]:
        """What it asks, once it asks for so many answers."""
        answer = await self.session.poll(wait=0)
        while len(answer["required_actions"]) != actions:
            assert answer["next_actions"] == ["poll"], answer
            answer = await self.session.poll(wait=0.3)  # it may have asked before the poll came
        found: list[dict[str, Any]] = answer["required_actions"]
        return found

    async def ended(self) -> dict[str, Any]:
        """Its last answer, once nothing runs."""
        while (answer := await self.session.poll())["next_actions"] == ["poll"]:
            pass
        assert answer["required_actions"] == []
        assert await listed(self.client, status="open", session=self.session.id) == []
        return answer


async def ask(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey, template: Any, text: str = "order 7"
) -> Asking:
    """A session of a flow with that template, to which something was said."""
    await save(api, await new_key(), "refunds", flow_of(template))
    session = await Session.start(client, "refunds")
    assert (await session.post("user_input", text)).status_code == 200
    return Asking(client, session)


@pytest.fixture
def start(api: FastAPI, client: httpx.AsyncClient, new_key: NewKey) -> Any:
    """Starts a session of a flow with a template."""
    return partial(ask, api, client, new_key)


async def test_a_step_waits_for_an_answer_which_is_its_result(
    client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"chain": [{"ask": ASK}, PAID]})
    [action] = await asking.asked()

    assert (action["kind"], action["status"]) == ("input", "open")
    assert (action["question"], action["answer_schema"]) == ("Refund order 7?", AMOUNT)
    assert (action["thread_id"], action["on_expiry"]) == (asking.session.id, "fail")
    assert (action["tool_use_id"], action["tool_name"], action["arguments"]) == (None, None, {})
    assert await listed(client, kind="input", session=asking.session.id) == [action]
    assert data(await client.get(f"{ACTIONS}/{action['action_id']}")) == action
    state = await client.get(f"/v1/ai/refunds/task_state/{asking.session.id}")
    assert state.json()["next_actions"] == ["poll"]

    given = {"amount": 5.5, "note": "só"}
    record = data(await resolve(client, action, "answer", result=given, message="Fine."))
    assert (record["status"], record["decision"], record["result"]) == ("answered", "answer", given)
    assert record["resolved_by"]
    assert (await asking.ended())["response"] == "5.5 of order 7"
    assert data(await resolve(client, action, "answer", result=given)) == record


SEEN: list[tuple[Any, list[Any], str]] = [
    ({"ask": ASK}, [{"amount": 1}], '{"amount": 1}'),
    ({"chain": [{"ask": ANY}, "<{{ previous_result }}>"]}, ["yes"], "<yes>"),
    ({"chain": [{"ask": ANY}, "{{ parsed_previous_result is none }}"]}, [None], "True"),
    ({"chain": [{"ask": ANY}, "{{ not parsed_previous_result }}"]}, [False], "True"),
    (
        {"chain": ["a", {"ask": ANY | {"message": "{{ previous_result }}?"}}, {"ask": ANY}]},
        [1, [2, 3]],
        "[2, 3]",
    ),
    (
        {"parallel": {"a": {"ask": ANY}, "b": "{{ actor_input }}"}},
        [0.5],
        '{"a": 0.5, "b": "x"}',
    ),
    ({"queue": "default", "template": {"ask": ANY}}, ["ok"], "ok"),
]


async def test_templates_see_an_answer_as_that_of_an_invoker(
    client: httpx.AsyncClient, start: Any
) -> None:
    for template, answers, response in SEEN:
        asking = await start(template, "x")
        for given in answers:
            [action] = await asking.asked()
            data(await resolve(client, action, "answer", result=given))
            while (await asking.session.poll())["required_actions"] == [action]:
                pass
        assert (await asking.ended())["response"] == response


async def test_each_step_of_a_map_asks_for_itself(client: httpx.AsyncClient, start: Any) -> None:
    ask = {"ask": ANY | {"message": "{{ map_index }}: {{ map_value }}"}}
    asking = await start({"map": {"over": "parsed_actor_input", "template": ask}}, '["one", "two"]')
    for action in await asking.asked(2):
        data(await resolve(client, action, "answer", result=action["question"]))
    assert (await asking.ended())["response"] == '["0: one", "1: two"]'


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({"decision": "answer"}, ["result"], "An answer has a result"),
    ({"decision": "deny", "result": 1}, ["result"], "no other decision does"),
    ({"decision": "approve"}, ["decision"], "takes one of answer, deny"),
    ({"decision": "answer", "result": 1, "arguments": {}}, ["result"], "is not of type"),
    ({"decision": "answer", "result": {"amount": 1}, "arguments": {}}, ["arguments"], "Only"),
    ({"decision": "answer", "result": None}, ["result"], "is not of type"),
    ({"decision": "answer", "result": {}}, ["result"], '"amount" is a required property'),
    ({"decision": "answer", "result": {"amount": "1"}}, ["result", "amount"], "not of type"),
    ({"decision": "answer", "result": {"amount": -1}}, ["result", "amount"], "minimum of 0"),
    (
        {"decision": "answer", "result": {"amount": 1, "note": "x" * 1_000_000}},
        ["result"],
        "longer than 256000 characters",
    ),
]


async def test_an_answer_that_does_not_fit_is_refused_with_its_place(
    client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"ask": ASK})
    [action] = await asking.asked()
    for fields, loc, says in REFUSED:
        refused = await client.post(f"{ACTIONS}/{action['action_id']}/resolve", json=fields)
        assert refused.status_code == 400
        [fault] = refused.json()["errors"]
        assert fault["loc"] == ["body", *loc]
        assert says in fault["msg"]
    assert await asking.asked() == [action]


async def test_of_twenty_answers_at_once_one_wins(client: httpx.AsyncClient, start: Any) -> None:
    asking = await start({"ask": ANY})
    [action] = await asking.asked()
    given = [str(number % 5) for number in range(20)]
    answers = await asyncio.gather(*(resolve(client, action, "answer", result=g) for g in given))

    [won] = {g for g, answer in zip(given, answers, strict=True) if answer.status_code == 200}
    records = [answer.json()["data"] for answer in answers if answer.status_code == 200]
    assert records == [records[0]] * 4
    assert records[0]["result"] == won
    for given_, answer in zip(given, answers, strict=True):
        if given_ != won:
            assert answer.status_code == 409
            assert answer.json()["action"] == records[0]
    assert (await asking.ended())["response"] == won
    assert (await resolve(client, action, "deny")).status_code == 409


async def test_a_denial_fails_the_step_and_a_retry_asks_again(
    client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"chain": [{"ask": ANY | {"message": "First?"}}, {"ask": ANY}]})
    [first] = await asking.asked()
    data(await resolve(client, first, "answer", result="one"))
    while (await asking.asked())[0] == first:
        pass
    [second] = await asking.asked()
    record = data(await resolve(client, second, "deny", message="Too much."))
    assert (record["status"], record["message"], record["result"]) == ("denied", "Too much.", None)
    answer = await asking.ended()
    assert answer["error"] == "ann@acme.example denied the answer: Too much."

    url = f"/v1/ai/refunds/sessions/{asking.session.id}/retry"
    assert (await client.post(url, json={})).status_code == 200
    [again] = await asking.asked()
    assert again["question"] == second["question"]
    assert again["action_id"] != second["action_id"]
    assert data(await resolve(client, second, "deny")) == record
    data(await resolve(client, again, "answer", result="two"))
    assert (await asking.ended())["response"] == "two"
    statuses = {a["action_id"]: a["status"] for a in await listed(client, kind="input")}
    assert statuses == {
        first["action_id"]: "answered",
        second["action_id"]: "denied",
        again["action_id"]: "answered",
    }


@pytest.mark.parametrize("expiry", ["fail", "cancel"])
async def test_what_nobody_answers_in_time_ends_once(
    client: httpx.AsyncClient, start: Any, expiry: str
) -> None:
    asking = await start({"ask": ANY | {"expires": 0.4, "on_expiry": expiry}})
    [action] = await asking.asked()
    assert action["expires_at"] is not None
    answer = await asking.ended()
    assert answer["error"] == "Nobody answered in time."
    record = data(await client.get(f"{ACTIONS}/{action['action_id']}"))
    assert (record["status"], record["resolved_by"]) == ("expired", None)
    late = await resolve(client, action, "answer", result="now")
    assert late.status_code == 409
    assert late.json()["action"] == record

    thread = data(await client.get(f"/v1/ai/threads/{asking.session.id}"))
    codes = [b.get("error_code") for m in thread["messages"] for b in m["content"]]
    assert codes.count("action_expired" if expiry == "fail" else "cancelled") == 1
    url = f"/v1/ai/refunds/sessions/{asking.session.id}/retry"
    retried = await client.post(url, json={})
    assert retried.status_code == (200 if expiry == "fail" else 409)


@pytest.mark.parametrize("way", ["cancel", "sibling", "delete"])
async def test_what_ends_an_invocation_closes_what_its_steps_ask(
    client: httpx.AsyncClient, start: Any, way: str
) -> None:
    others = {"ask": ANY | {"message": "{{ 1 // 0 }}"}}
    after = {"chain": [{"ask": ANY | {"message": "Go on?"}}, others]}
    asking = await start({"parallel": {"a": {"ask": ANY | {"message": "Kept?"}}, "b": after}})
    session_id = asking.session.id
    actions = {action["question"]: action for action in await asking.asked(2)}
    if way == "cancel":
        data(await client.post(f"/v1/ai/threads/{session_id}/cancel"))
    elif way == "sibling":
        data(await resolve(client, actions["Go on?"], "answer", result=1))
    else:
        url = f"/api/v1/cli/delete/session/?name={session_id}"
        assert (await client.post(url)).status_code == 200

    if way == "delete":
        assert await listed(client) == []
        assert (await resolve(client, actions["Kept?"], "deny")).status_code == 404
        return
    assert (await asking.ended())["error"]
    kept = data(await client.get(f"{ACTIONS}/{actions['Kept?']['action_id']}"))
    assert kept["status"] == "cancelled"
    assert kept["resolved_at"]
    late = await resolve(client, actions["Kept?"], "answer", result=1)
    assert late.status_code == 409
    assert late.json()["action"] == kept


async def test_who_may_answer_is_as_the_flow_says(
    client: httpx.AsyncClient, start: Any, new_key: NewKey
) -> None:
    bob = await key(new_key, KeyScope.APPROVE, user="bob@acme.example")
    owner = await key(new_key, KeyScope.WRITE)
    strangers = await key(new_key, KeyScope.ADMIN, org="Other", user="mal@other.example")
    for approvers, refused, taken in (("owner", bob, owner), ("scope", owner, bob)):
        asking = await start({"ask": ANY | {"approvers": approvers}})
        [action] = await asking.asked()
        assert action["approvers"] == approvers
        for headers, status in ((refused, 403), (strangers, 404)):
            answer = await resolve(client, action, "answer", result="x", headers=headers)
            assert answer.status_code == status
        url = f"{ACTIONS}/{action['action_id']}"
        assert (await client.get(url, headers=strangers)).status_code == 404
        assert data(await client.get(ACTIONS, headers=strangers))["items"] == []
        data(await resolve(client, action, "answer", result="x", headers=taken))
        assert (await asking.ended())["response"] == "x"


async def test_a_step_that_looks_again_asks_nothing_twice(
    api: FastAPI, client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"ask": ANY})
    [action] = await asking.asked()
    pool = api.state.database.pool
    await pool.execute("UPDATE step SET run_after = now()")
    again = "SELECT 1 FROM step WHERE attempt > 1 AND status = 'waiting'"
    while not await pool.fetchval(again):
        await asking.session.poll(0.1)
    assert await listed(client) == [action]
    data(await resolve(client, action, "answer", result="x"))
    assert (await asking.ended())["response"] == "x"


async def test_a_message_that_cannot_be_rendered_fails_the_step(start: Any) -> None:
    asking = await start({"ask": ANY | {"message": "{{ 1 // 0 }}"}})
    assert "division" in (await asking.ended())["error"]
    asking = await start({"ask": ANY | {"message": "{{ 'x' * 10001 }}"}})
    assert "longer than 10000 characters" in (await asking.ended())["error"]


async def test_an_invocation_s_time_does_not_run_out_while_it_waits(
    client: httpx.AsyncClient, settings: Settings, start: Any
) -> None:
    settings.step.invocation_seconds = 1
    async with serving(settings):
        asking = await start({"chain": [{"ask": ANY}, PAID]})
        [action] = await asking.asked()
        for _ in range(3):
            assert (await asking.session.poll(0.5))["required_actions"] == [action]
        data(await resolve(client, action, "answer", result={"amount": 1}))
        assert (await asking.ended())["response"] == "1 of order 7"


async def test_who_follows_a_thread_is_told_what_it_asks(
    api: FastAPI, client: httpx.AsyncClient, new_key: NewKey
) -> None:
    spec = flow_of({"ask": ASK | {"message": "Refund?"}}, event="user_message")
    await save(api, await new_key(), "refunds", spec)
    body = {"messages": [said("order 7")], "flow": "refunds"}
    thread = data(await client.post(THREADS, json=body), 201)
    reader = Reader(client, thread["thread_id"])
    while not (delta := await reader.poll(wait=10))["required_actions"]:
        pass
    [action] = delta["required_actions"]
    assert (action["question"], delta["activity"]) == ("Refund?", "Waiting for an answer")
    assert (await read(client, thread["thread_id"]))["required_actions"] == [action]
    assert (await reader.poll())["required_actions"] is None  # as it was

    waiting = asyncio.create_task(reader.poll(wait=10))
    data(await resolve(client, action, "answer", result={"amount": 1}))
    assert (await waiting)["required_actions"] == []
    await reader.follow("waiting")
    assert texts(await read(client, thread["thread_id"]))[-1] == '{"amount": 1}'

    log = (await post(client, "logs/session", name=thread["thread_id"]))["data"]["data"]["items"]
    asked = [item for item in log if item["type"] == "action"]
    assert [(item["status"], item["text"].split(":")[0]) for item in asked] == [
        ("answered", "input Refund?")
    ]


async def test_an_ask_that_opens_as_its_invocation_is_ended_is_withdrawn(
    api: FastAPI, client: httpx.AsyncClient, settings: Settings, start: Any
) -> None:
    asking = await start({"queue": "slow", "template": {"ask": ANY}})
    session_id, pool = asking.session.id, api.state.database.pool
    blocked = """SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    worker = settings.worker.model_copy(update={"queues": ["slow"]})
    async with pool.acquire() as connection:
        async with connection.transaction():
            # The cancel has seen how things stand, and waits to write.
            await connection.execute("SELECT 1 FROM session FOR NO KEY UPDATE")
            cancel = asyncio.create_task(client.post(f"/v1/ai/threads/{session_id}/cancel"))
            while not await pool.fetchval(blocked):
                await asking.session.poll(0.1)
            async with serving(settings.model_copy(update={"worker": worker})):
                [action] = await asking.asked()
        data(await cancel)
    await asking.ended()
    record = data(await client.get(f"{ACTIONS}/{action['action_id']}"))
    assert record["status"] == "cancelled"
    assert await pool.fetchval("SELECT status FROM action") == "cancelled"


async def test_an_action_whose_step_is_over_is_open_to_nobody(
    api: FastAPI, client: httpx.AsyncClient, start: Any
) -> None:
    asking = await start({"ask": ANY})
    [action] = await asking.asked()
    await api.state.database.pool.execute("UPDATE step SET status = 'superseded'")

    assert await listed(client) == []
    assert (await asking.session.poll(0))["required_actions"] == []
    record = data(await client.get(f"{ACTIONS}/{action['action_id']}"))
    assert record["status"] == "cancelled"
    late = await resolve(client, action, "answer", result=1)
    assert late.status_code == 409
    assert late.json()["action"] == record
