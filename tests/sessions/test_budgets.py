"""Budgets: what requests to models may take together holds, however many ask at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from app.access.caller import KeyScope
from app.db.engine import Database
from app.settings import LlmSettings, Settings
from tests.support.http import NewKey
from tests.support.manifests import manifest, many, post
from tests.support.manifests import send as send_manifest
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import load_provider
from tests.support.threads import THREADS, data, read, rested, said, settled, start


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    load_provider("openai")
    async with OpenAiServer(Reply(usage=(60, 40, 0))) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    settings.llm = LlmSettings(
        provider="openai", base_url=model.base_url, model="test-model", api_key="secret-key"
    )
    settings.security.egress_allow = ["127.0.0.0/8"]
    settings.step.sweep_seconds = 0.2
    settings.step.lease_seconds = 20.0  # a lease that a slow machine loses frees what is reserved
    settings.session.expire_sweep_seconds = 0.2
    return settings


@pytest.fixture(autouse=True)
def _served(worker: None) -> None:
    """Each of these turns is run by a worker."""


async def come(client: httpx.AsyncClient, thread: dict[str, Any]) -> dict[str, Any]:
    """The thread, once its turn is over or waits for a larger budget."""
    return await rested(client, thread["thread_id"])


async def ask(client: httpx.AsyncClient, text: str, **fields: Any) -> dict[str, Any]:
    return await come(client, await start(client, text, **fields))


async def say(
    client: httpx.AsyncClient, thread: dict[str, Any], text: str, **fields: Any
) -> dict[str, Any]:
    """Send a message, and wait for what comes of it."""
    url = f"{THREADS}/{thread['thread_id']}/messages"
    data(await client.post(url, json={"message": said(text), **fields}))
    return await come(client, thread)


def used_up(thread: dict[str, Any]) -> dict[str, Any] | None:
    """The limit that keeps the thread from going on, if one does."""
    if not thread["required_actions"]:
        assert thread["status"] == "user_turn"
        return None
    [action] = thread["required_actions"]
    assert (action["kind"], action["status"], action["tool_use_id"]) == ("budget", "open", None)
    assert thread["status"] == "roboto_turn"
    assert thread["activity"] == "Waiting for a larger budget"
    limit: dict[str, Any] = action["arguments"]["limit"]
    return limit


async def decide(
    client: httpx.AsyncClient, thread: dict[str, Any], decision: str, **fields: Any
) -> httpx.Response:
    [action] = thread["required_actions"]
    body = {"decision": decision, **({"arguments": fields} if fields else {})}
    return await client.post(f"/v1/ai/actions/{action['action_id']}/resolve", json=body)


async def decided(
    client: httpx.AsyncClient, thread: dict[str, Any], decision: str, **fields: Any
) -> dict[str, Any]:
    """Decide about the one thing that the thread waits for, and wait for what comes of it."""
    data(await decide(client, thread, decision, **fields))
    return await come(client, thread)


def is_stopped(thread: dict[str, Any], text: str) -> bool:
    """Whether the last turn ended since its budget was used up, as the text says."""
    last = thread["messages"][-1]
    [block] = last["content"]
    found = (block["error_code"], block["error_message"], last["status"], thread["status"])
    return found == ("budget_exceeded", text, "failed", "user_turn")


async def test_a_turn_makes_as_many_requests_as_its_budget_and_its_raises_say(
    client: httpx.AsyncClient,
) -> None:
    calls = "\nthen\n".join(["call client_nothing"] * 40)
    budget = {"turn": {"max_steps": 3}}

    def answers(thread: dict[str, Any]) -> int:
        return sum(message["role"] == "assistant" for message in thread["messages"])

    thread = await ask(client, calls, model_profile="script", budget=budget)
    assert (answers(thread), used_up(thread)) == (3, {"max_steps": 3})
    thread = await decided(client, thread, "approve", max_steps=30)
    assert (answers(thread), used_up(thread)) == (30, {"max_steps": 30})
    thread = await decided(client, thread, "deny")
    assert is_stopped(thread, "The budget of the turn is used up: 30 steps.")

    # A raise is of the turn, and so is its end.
    thread = await say(client, thread, calls)
    assert (answers(thread), used_up(thread)) == (34, {"max_steps": 3})


async def test_a_thread_whose_budget_is_used_up_waits_until_it_is_raised(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    thread = await ask(client, "Hi", budget={"session": {"max_tokens": 150}})
    assert used_up(thread) is None
    thread = await say(client, thread, "More")
    assert used_up(thread) is None

    thread = await say(client, thread, "Too much")
    assert used_up(thread) == {"max_tokens": 150}
    [action] = thread["required_actions"]
    shown = action["arguments"]
    assert (shown["scope"], shown["period"], shown["used"]) == ("request", "session", 200)
    assert shown["needed"] > 1000
    assert len(model.requests) == 2

    for wrong in (
        {"max_tokens": 200},
        {"max_tokens": 200.5},
        {"max_steps": 9},
        {"max_tokens": "x"},
    ):
        refused = await decide(client, thread, "approve", **wrong)
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["loc"][:2] == ["body", "arguments"]
    bare = await decide(client, thread, "approve")
    assert (bare.status_code, bare.json()["errors"][0]["loc"]) == (400, ["body", "arguments"])
    assert 'say the new limit, as {"max_tokens": …}' in bare.json()["detail"]
    assert (await decide(client, thread, "answer")).status_code == 400
    assert used_up(await read(client, thread["thread_id"])) == {"max_tokens": 150}

    answers = await asyncio.gather(
        *(decide(client, thread, decision, **more) for decision, more in RAISES)
    )
    assert [answer.status_code for answer in answers].count(200) in (1, 2)
    [won] = {data(answer)["decision"] for answer in answers if answer.status_code == 200}
    thread = await come(client, thread)
    assert (len(model.requests) == 3) is (won == "approve")
    if won == "approve":
        assert used_up(thread) is None
        assert thread["usage"]["requests"] == 3


RAISES = [("approve", {"max_tokens": 450}), ("deny", {}), ("approve", {"max_tokens": 450})]


async def test_a_raise_of_a_session_holds_for_its_later_turns_and_a_stop_takes_messages(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    thread = await ask(client, "Hi", budget={"session": {"max_tokens": 100}})
    thread = await decided(client, await say(client, thread, "1"), "approve", max_tokens=250)
    thread = await say(client, thread, "2")
    assert used_up(thread) is None

    thread = await say(client, thread, "3")
    assert used_up(thread) == {"max_tokens": 250}
    thread = await decided(client, thread, "deny")
    assert is_stopped(thread, "The budget of the session is used up: 250 tokens.")
    thread = await say(client, thread, "4")
    assert used_up(thread) == {"max_tokens": 250}
    data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))
    [*_, last] = (await read(client, thread["thread_id"]))["messages"]
    assert last["role"] == "user"
    thread = await say(client, thread, "5")
    assert used_up(thread) == {"max_tokens": 250}
    thread = await decided(client, thread, "approve", max_tokens=350)
    assert used_up(thread) is None
    assert len(model.requests) == 4

    actions = data(await client.get("/v1/ai/actions", params={"kind": "budget"}))["items"]
    states = [action["status"] for action in actions]
    assert states == ["approved", "cancelled", "denied", "approved"]


async def test_nobody_decides_in_time_and_the_turn_ends(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    bounds = {"budget": {"session": {"max_steps": 1}}, "approval_timeout": 0.3}
    thread = await ask(client, "Hi", **bounds)
    thread = await settled(client, (await say(client, thread, "More"))["thread_id"])

    assert is_stopped(thread, "The budget of the session is used up: 1 steps.")
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("span", "bounds", "limit"),
    [
        ("turn", {"max_tokens": 100}, None),
        ("session", {"max_steps": 1}, {"max_steps": 1}),
        ("session", {"max_seconds": 1e-6}, {"max_seconds": 1e-6}),
        ("day", {"max_tokens": 100}, {"max_tokens": 100}),
    ],
)
async def test_a_budget_is_of_its_span(
    client: httpx.AsyncClient, span: str, bounds: dict[str, Any], limit: dict[str, Any] | None
) -> None:
    thread = await ask(client, "Hi", budget={span: bounds})

    thread = await say(client, thread, "Again")
    assert used_up(thread) == limit
    # That of a thread is its own.
    assert used_up(await ask(client, "Hi", budget={span: bounds})) is None
    if limit is not None:
        [bound] = limit
        thread = await decided(client, thread, "approve", **{bound: 10_000})
        assert used_up(thread) is None


async def test_an_approval_in_the_middle_of_a_turn_does_not_begin_another(
    client: httpx.AsyncClient,
) -> None:
    budget = {"turn": {"max_steps": 1, "max_tokens": 9_000}}
    calls = "call client_nothing\nthen\ncall client_nothing\nthen\nDone."
    thread = await ask(client, calls, model_profile="script", budget=budget)
    thread = await decided(client, thread, "approve", max_steps=2)

    assert used_up(thread) == {"max_steps": 2}
    assert thread["required_actions"][0]["arguments"]["used"] == 2
    thread = await decided(client, thread, "approve", max_steps=3)
    assert thread["messages"][-1]["content"][-1]["text"].endswith("Done.")


async def test_the_account_bounds_all_sessions_and_an_admin_raises_it_for_the_day(
    client: httpx.AsyncClient, model: OpenAiServer, new_key: NewKey
) -> None:
    [org] = (await post(client, "get/account"))["data"]["data"]["items"]
    spec = {"budget": {"day": {"maxTokens": 100}}}
    await post(client, "apply", manifest("Account", org["name"], spec))
    described = (await post(client, "describe/account", name=org["name"]))["data"]
    assert described["spec"] == spec
    assert used_up(await ask(client, "Hi")) is None
    first, second, third = [await ask(client, "Hi", visibility="org") for _ in range(3)]
    assert used_up(first) == used_up(second) == used_up(third) == {"max_tokens": 100}
    [action] = first["required_actions"]
    assert action["approvers"] == "admin"
    assert action["question"].startswith("The budget of the account's day is used up: 100 tokens.")

    admin = client.headers["Authorization"]
    approver = await new_key(scopes=[KeyScope.WRITE, KeyScope.APPROVE])
    client.headers["Authorization"] = f"Bearer {approver.api_key}"
    refused = await decide(client, first, "approve", max_tokens=1_000)
    assert refused.status_code == 403
    assert "'admin'" in refused.json()["detail"]
    assert is_stopped(  # which is the right of who started it
        await decided(client, third, "deny"),
        "The budget of the account's day is used up: 100 tokens.",
    )
    client.headers["Authorization"] = admin
    assert used_up(await decided(client, first, "approve", max_tokens=150)) is None
    # It is raised for all, but that is used up, too.
    assert used_up(await ask(client, "Hi")) == {"max_tokens": 150}
    assert (await decide(client, second, "approve")).status_code == 400

    # One that is set anew is what it says, and whoever waits goes on without a raise.
    spec = {"budget": {"day": {"maxTokens": 201}}}
    await post(client, "apply", manifest("Account", org["name"], spec))
    assert used_up(await decided(client, second, "approve")) is None
    assert used_up(await ask(client, "Hi")) == {"max_tokens": 201}
    assert len(model.requests) == 3


async def test_sixteen_sessions_at_once_do_not_pass_the_budget_of_their_agent(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    # A request reserves a hundred tokens, and takes them: the fifth has what is left.
    model.default = Reply(usage=(60, 40, 0), delay=0.2)
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    document = manifest("Provider", "bounded", spec | {"parameters": {"maxTokens": 100}})
    await post(client, "apply", document)
    budget = {"day": {"max_tokens": 450}}
    template = {"messages": [said("Hi")], "model_profile": "bounded", "budget": budget}
    body = {"name": "asker", "request_template": template}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]

    async def launch() -> bool:
        launched = await client.post(f"/v1/ai/agents/{agent}/launch", json={})
        return used_up(await come(client, data(launched, 201))) is None

    answers = await asyncio.gather(*(launch() for _ in range(16)))

    assert answers.count(True) == len(model.requests) == 5
    # Other sessions have other budgets.
    assert used_up(await ask(client, "Hi", budget=budget)) is None


class TalkativeModel(OpenAiServer):
    """Answers with as many tokens as it may, 3,000 at the most, and counts what it is sent."""

    async def _answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        sent = sum(len(message["content"]) for message in body["messages"]) // 4
        most = body.get("max_completion_tokens", 3_000)
        self.default = Reply(usage=(sent, min(most, 3_000), 0), delay=0.2)
        return await super()._answer(request)


async def test_however_much_models_say_their_answers_do_not_pass_a_budget(
    client: httpx.AsyncClient,
) -> None:
    async with TalkativeModel() as model:
        spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
        spec |= {"prices": {"input": "1", "output": "1"}, "parameters": {"maxTokens": 3_000}}
        await post(client, "apply", manifest("Provider", "talkative", spec))
        for bounds, price in ({"max_tokens": 20_000}, 1), ({"max_cost": "0.01"}, 0.000_001):
            model.counted.clear()
            template = {"messages": [said("Hi")], "model_profile": "talkative"}
            body = {"name": str(price), "request_template": template | {"budget": {"day": bounds}}}
            agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
            launches = [client.post(f"/v1/ai/agents/{agent}/launch", json={}) for _ in range(10)]
            started = [data(launched, 201) for launched in await asyncio.gather(*launches)]
            rest = await asyncio.gather(*(come(client, thread) for thread in started))

            waiting = [limit for thread in rest if (limit := used_up(thread)) is not None]
            assert waiting == [bounds] * len(waiting) != []
            taken = sum(sum(usage) for usage in model.counted) * price
            [most] = map(float, bounds.values())
            assert 0.9 * most < taken <= most


async def test_a_request_for_which_too_little_is_left_is_not_made(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    call = {"index": 0, "id": "c", "type": "function"}
    call["function"] = {"name": "client_page", "arguments": "{}"}
    asks = {"content": None, "tool_calls": [call]}
    model.script(Reply(message_body=asks, finish_reason="tool_calls", usage=(60, 40, 0)))
    tool = {"name": "client_page", "description": "A page.", "input_schema": {"type": "object"}}
    budget = {"session": {"max_tokens": 1_000}}
    thread = await start(client, "Hi", client_tools=[tool], budget=budget)
    thread = await rested(client, thread["thread_id"])
    [use] = thread["messages"][1]["content"]
    result = {"tool_use_id": use["tool_use_id"], "tool_name": "client_page", "runtime_ms": 1}
    page = result | {"status": "success", "output": {"text": "long " * 900}}
    url = f"{THREADS}/{thread['thread_id']}/tool-results"
    data(await client.post(url, json={"tool_results": [page]}))

    thread = await come(client, thread)
    assert used_up(thread) == {"max_tokens": 1_000}
    [action] = thread["required_actions"]
    assert action["arguments"]["used"] == 100
    assert action["question"].startswith(
        "The budget of the session has too little left for another request: 100 of 1000 tokens"
    )
    for raised in ({}, {"max_tokens": 1_000}):
        assert (await decide(client, thread, "approve", **raised)).status_code == 400
    thread = await decided(client, thread, "approve", max_tokens=3_000)
    assert used_up(thread) is None
    first, second = (request.body["max_completion_tokens"] for request in model.requests)
    assert first < 1_000
    assert 1_000 < second < 1_500  # the page is some 1,500 tokens, and 100 were used


async def test_of_the_budgets_of_agent_launch_and_message_the_tightest_holds(
    client: httpx.AsyncClient, model: OpenAiServer, new_key: NewKey
) -> None:
    template = {"messages": [said("Hi")], "budget": {"session": {"max_tokens": 150}}}
    body = {"name": "asker", "request_template": template}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
    admin = client.headers["Authorization"]

    async def launch(budget: dict[str, Any]) -> dict[str, Any]:
        url = f"/v1/ai/agents/{agent}/launch"
        return await come(client, data(await client.post(url, json={"budget": budget}), 201))

    thread = await say(client, await launch({"session": {"max_tokens": 90, "max_steps": 9}}), "1")
    assert used_up(thread) == {"max_tokens": 90}  # the launch's, and so its owner's to raise
    assert thread["required_actions"][0]["approvers"] is None
    writer = await new_key(scopes=[KeyScope.WRITE])
    client.headers["Authorization"] = f"Bearer {writer.api_key}"
    assert used_up(await decided(client, thread, "approve", max_tokens=9_000)) is None
    thread = await say(client, thread, "2")
    assert used_up(thread) == {"max_tokens": 150}  # the agent's
    assert thread["required_actions"][0]["arguments"]["scope"] == "agent"
    assert thread["required_actions"][0]["approvers"] == "scope"
    assert (await decide(client, thread, "approve", max_tokens=9_000)).status_code == 403
    client.headers["Authorization"] = admin
    assert used_up(await decided(client, thread, "approve", max_tokens=9_000)) is None

    thread = await say(client, thread, "3", budget={"turn": {"max_tokens": 50}})
    assert used_up(thread) is None
    budget = {"session": {"max_tokens": 400}, "turn": {"max_tokens": 10}}
    thread = await say(client, thread, "4", budget=budget)
    assert used_up(thread) == {"max_tokens": 400}  # from here on
    thread = await say(client, thread, "5", budget={"session": {"max_tokens": 8_000}})
    assert used_up(thread) == {"max_tokens": 400}
    assert used_up(await decided(client, thread, "approve", max_tokens=8_000)) is None


async def test_a_message_bounds_its_own_turn(client: httpx.AsyncClient) -> None:
    calls = "\nthen\n".join(["call client_nothing"] * 4)
    thread = await ask(client, "Hi", model_profile="script")
    thread = await say(client, thread, calls, budget={"turn": {"max_steps": 2}})
    assert used_up(thread) == {"max_steps": 2}

    thread = await say(client, thread, calls)
    assert used_up(thread) is None


@pytest.mark.parametrize("bounded", ["start", "message"])
async def test_a_turn_may_have_more_requests_than_ever_where_a_budget_says_so(
    client: httpx.AsyncClient, bounded: str
) -> None:
    calls = "\nthen\n".join(["call client_nothing"] * 26)
    budget = {"budget": {"turn": {"max_steps": 40}}}
    start_, message = (budget, {}) if bounded == "start" else ({}, budget)
    thread = await ask(client, "Hi", model_profile="script", **start_)
    thread = await say(client, thread, calls, **message)
    assert _ends_at_limit(thread) is False
    thread = await say(client, thread, calls)
    assert _ends_at_limit(thread) is (bounded == "message")


def _ends_at_limit(thread: dict[str, Any]) -> bool:
    codes = [b.get("error_code") for b in thread["messages"][-2]["content"]]
    return "max_steps" in codes


async def test_what_a_request_reserved_that_failed_is_free_again(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    model.script(Reply(status=400, message="odd"))
    budget = {"session": {"max_tokens": 50}}
    thread = await start(client, "Hi", budget=budget)
    thread = await settled(client, thread["thread_id"])
    assert thread["messages"][-1]["content"][0]["error_code"] == "invocation_failed"

    assert used_up(await say(client, thread, "Again")) is None


async def test_what_a_lost_worker_reserved_is_free_with_its_lease(
    client: httpx.AsyncClient, database: Database, model: OpenAiServer
) -> None:
    gate = asyncio.Event()
    model.script(Reply(gate=gate))
    template = {"messages": [said("Hi")], "budget": {"day": {"max_tokens": 100}}}
    body = {"name": "asker", "request_template": template}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
    url = f"/v1/ai/agents/{agent}/launch"
    data(await client.post(url, json={}), 201)
    await model.arrived.wait()
    async with database.pool.acquire() as connection, connection.transaction():
        # As by a worker that is lost, and that nobody here can stand in for.
        await connection.execute("UPDATE budget_reservation SET attempt = 2")
        await connection.execute(
            "UPDATE step SET attempt = 2, protocol = 999, lease_until = now() + interval '2 s'"
        )

    waiting = data(await client.post(url, json={}), 201)
    await asyncio.sleep(1)
    assert len(model.requests) == 1
    assert used_up(await come(client, waiting)) is None
    assert len(model.requests) == 2
    gate.set()


@pytest.mark.parametrize(
    "budget",
    [
        {"turn": {"max_steps": 0}},
        {"turn": {"max_steps": 201}},
        {"session": {"max_tokens": -1}},
        {"week": {}},
        {"day": {"max_dollars": 1}},
        {"day": {"max_cost": "NaN"}},
    ],
)
async def test_a_wrong_budget_is_refused(client: httpx.AsyncClient, budget: dict[str, Any]) -> None:
    body = {"name": "asker", "request_template": {"messages": [said("Hi")]}}
    agent = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
    thread = await ask(client, "Hi", model_profile="echo")
    for url, fields in (
        (THREADS, {"messages": [said("Hi")]}),
        (f"{THREADS}/{thread['thread_id']}/messages", {"message": said("Hi")}),
        (f"/v1/ai/agents/{agent}/launch", {}),
    ):
        response = await client.post(url, json={**fields, "budget": budget})

        assert response.status_code == 400
        assert response.json()["errors"][0]["loc"][:2] == ["body", "budget"]


async def test_a_step_of_a_flow_counts_and_waits_where_it_asks_a_model_and_nowhere_else(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    states = {
        "waiting": {"initial": True, "transitions": [{"event": "ask", "target": "working"}]},
        "working": {"transitions": [{"event": "done", "target": "waiting"}]},
    }
    asked = {"invoke": "models", "template": "{{ actor_input }}"}
    said_again = {"invoke": "verbatim", "template": "{{ previous_result }}"}
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    flow = {
        "statechart": {"states": states},
        "templates": {
            "waiting": "{{ actor_input }}",
            "working": {"chain": [asked, said_again, {**asked}, {**said_again}]},
        },
    }
    template = {"messages": [{"role": "user", "content": [{"text": "{{prompt}}"}]}]}
    agent = {"requestTemplate": template, "variables": [{"name": "prompt"}], "flow": "f"}
    template["budget"] = {"day": {"maxSteps": 3}}  # type: ignore[assignment] # of another shape
    await post(
        client,
        "apply",
        many(
            manifest("Provider", "models", spec),
            manifest("Flow", "f", flow),
            manifest("Agent", "Helper", agent),
        ),
    )
    agent_id = data(await client.get("/v1/ai/agents/name/Helper"))["agent_id"]

    async def wait(thread: dict[str, Any]) -> dict[str, Any]:
        while True:
            thread = await read(client, thread["thread_id"])
            if thread["status"] == "waiting" or thread["required_actions"]:
                return thread
            await asyncio.sleep(0.05)

    async def launch() -> dict[str, Any]:
        body = {"values": {"prompt": "Hi"}}
        launched = await client.post(f"/v1/ai/agents/{agent_id}/launch", json=body)
        return await wait(data(launched, 201))

    answer = await post(client, "prompt/Helper", {"prompt": "Hi"})
    first = await read(client, answer["data"]["session_id"])
    assert (first["usage"]["requests"], first["usage"]["input_tokens"]) == (2, 120)

    async def rests(thread: dict[str, Any]) -> dict[str, Any]:
        while True:
            thread = await read(client, thread["thread_id"])
            if thread["status"] == "waiting":
                return thread
            await asyncio.sleep(0.05)

    thread = await launch()
    [action] = thread["required_actions"]
    assert (action["kind"], action["approvers"]) == ("budget", "scope")
    assert action["step_id"] is not None
    assert action["question"].startswith("The budget of the day is used up: 3 steps.")
    assert thread["usage"]["requests"] == 1
    assert ((await decide(client, thread, "approve")).status_code, len(model.requests)) == (400, 3)
    assert data(await decide(client, thread, "approve", max_steps=4))["status"] == "approved"
    thread = await rests(thread)
    assert (thread["usage"]["requests"], thread["required_actions"]) == (2, [])

    stopped = await launch()
    assert stopped["required_actions"][0]["arguments"]["limit"] == {"max_steps": 4}
    assert data(await decide(client, stopped, "deny"))["status"] == "denied"
    stopped = await rests(stopped)
    [block] = stopped["messages"][-1]["content"]
    assert block["error_code"] == "budget_exceeded"
    assert block["error_message"] == "The budget of the day is used up: 4 steps."

    # A retry asks again, and a cancel withdraws what was asked.
    data(await client.post(f"{THREADS}/{stopped['thread_id']}/retry"))
    [action] = (await wait(stopped))["required_actions"]
    data(await client.post(f"{THREADS}/{stopped['thread_id']}/cancel"))
    assert (await rests(stopped))["required_actions"] == []
    action = data(await client.get(f"/v1/ai/actions/{action['action_id']}"))
    assert action["status"] == "cancelled"
    assert len(model.requests) == 4


async def test_a_cost_is_bounded_by_prices_which_must_be_there(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    prices = {"input": "1000", "output": "1000"}  # a request is 0.1
    await post(client, "apply", manifest("Provider", "priced", spec | {"prices": prices}))
    await post(client, "apply", manifest("Provider", "free", spec))
    budget = {"session": {"max_cost": "0.2"}}
    thread = await ask(client, "Hi", model_profile="priced", budget=budget)
    for limit in (None, {"max_cost": "0.2"}):
        thread = await say(client, thread, "More")
        assert used_up(thread) == limit
    assert thread["usage"]["cost"] == {"USD": "0.2"}
    for wrong in ("0.2", 0.1, "much", "0.20000000000000001"):
        assert (await decide(client, thread, "approve", max_cost=wrong)).status_code == 400
    thread = await decided(client, thread, "approve", max_cost="0.3")
    assert (used_up(thread), thread["usage"]["cost"]) == (None, {"USD": "0.3"})
    thread = await say(client, thread, "More")
    thread = await decided(client, thread, "approve", max_cost=0.4)
    assert (used_up(thread), thread["usage"]["cost"]) == (None, {"USD": "0.4"})

    assert used_up(await ask(client, "Hi", model_profile="echo", budget=budget)) is None
    unpriced = await ask(client, "Hi", model_profile="free")
    url = f"{THREADS}/{unpriced['thread_id']}/messages"
    refused = await client.post(url, json={"message": said("Hi"), "budget": budget})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (400, ["body", "budget"])
    assert "put them into `spec.prices`" in refused.json()["detail"]
    for profile in ("free", "default"):
        body = {"messages": [said("Hi")], "model_profile": profile, "budget": budget}
        refused = await client.post(THREADS, json=body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["loc"] == ["body", "budget"]

    assert len(model.requests) == 5


async def test_an_agent_that_bounds_a_cost_is_saved_only_while_its_provider_has_prices(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    with_prices = manifest("Provider", "models", {**spec, "prices": {"input": "0", "output": 1}})
    without = manifest("Provider", "models", spec)

    def agent(profile: str, **day: Any) -> Any:
        template = {"messages": [said("Hi")], "modelProfile": profile, "budget": {"day": day}}
        variables = [{"name": "profile"}] if "{{" in profile else []
        return manifest("Agent", "asker", {"requestTemplate": template, "variables": variables})

    async def refusal(document: Any) -> dict[str, Any]:
        response = await send_manifest(client, "apply", document)
        assert response.status_code == 400, response.text
        [fault] = response.json()["errors"]
        return dict(fault)

    await post(client, "apply", without)
    fault = await refusal(agent("models", maxCost="1"))
    assert fault["loc"][-3:] == ["spec", "requestTemplate", "budget"]
    assert "Provider 'models' has no prices: put them into `spec.prices`" in fault["msg"]
    assert "no prices" in (await refusal(agent("default", maxCost=1)))["msg"]
    body = {"name": "asker", "request_template": {"messages": [said("Hi")]}}
    body["request_template"] |= {"model_profile": "models", "budget": {"turn": {"max_cost": 1}}}  # type: ignore[operator] # a template
    refused = await client.post("/v1/ai/agents", json=body)
    assert refused.json()["errors"][0]["loc"] == ["body", "request_template", "budget"]
    for harmless in (agent("models", maxTokens=9), agent("echo", maxCost=1)):
        await post(client, "apply", harmless)
    await post(client, "apply", agent("{{profile}}", maxCost=1))
    saved = data(await client.get("/v1/ai/agents/name/asker"))
    change = {"request_template": body["request_template"], "variables": []}
    refused = await client.put(f"/v1/ai/agents/{saved['agent_id']}", json=change)
    assert refused.json()["errors"][0]["loc"] == ["body", "request_template", "budget"]

    # In one file in whatever order; then the prices, and the Provider, are needed.
    await post(client, "apply", many(agent("models", maxCost=1), with_prices))
    fault = await refusal(without)
    assert fault["loc"][-2:] == ["spec", "prices"]
    assert fault["msg"].endswith("asker")
    deleted = await send_manifest(client, "delete/provider", name="models")
    assert (deleted.status_code, deleted.json()["referrers"]) == (409, ["Agent asker"])
    await post(client, "apply", many(without, agent("models", maxTokens=1)))
