"""Budgets: what requests to models may take together holds, however many ask at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import LlmSettings, Settings
from tests.support.manifests import manifest, many, post
from tests.support.manifests import send as send_manifest
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import load_provider
from tests.support.threads import THREADS, answered, data, read, said, send, settled, start


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
    return settings


@pytest.fixture(autouse=True)
def _served(worker: None) -> None:
    """Each of these turns is run by a worker."""


def refusal(thread: dict[str, Any]) -> str | None:
    """Why the last message was not generated, if a budget is why."""
    [block, *_] = thread["messages"][-1]["content"]
    if block["content_type"] != "error":
        return None
    assert block["error_code"] == "budget_exceeded"
    assert thread["status"] == "user_turn"
    return str(block["error_message"])


async def test_a_turn_makes_as_many_requests_as_its_budget_says(client: httpx.AsyncClient) -> None:
    calls = "\nthen\n".join(["call client_nothing"] * 9)
    budget = {"turn": {"max_steps": 3}}

    thread = await answered(client, calls, model_profile="script", budget=budget)

    answers = [m for m in thread["messages"] if m["role"] == "assistant"]
    assert len(answers) == 3
    assert answers[-1]["content"][-1]["error_code"] == "max_steps"


async def test_a_thread_whose_budget_is_used_up_takes_messages_and_asks_no_model(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    thread = await answered(client, "Hi", budget={"session": {"max_tokens": 150}})
    assert refusal(thread) is None
    await send(client, thread["thread_id"], "More")
    thread = await settled(client, thread["thread_id"])
    assert refusal(thread) is None

    for _ in range(2):
        await send(client, thread["thread_id"], "Too much")
        thread = await settled(client, thread["thread_id"])
        assert refusal(thread) == "The budget of the session is used up: 150 tokens."

    assert len(model.requests) == 2
    assert thread["usage"]["input_tokens"] + thread["usage"]["output_tokens"] == 200


@pytest.mark.parametrize(
    ("span", "bounds", "text"),
    [
        ("turn", {"max_tokens": 100}, None),
        ("session", {"max_steps": 1}, "The budget of the session is used up: 1 steps."),
        ("session", {"max_seconds": 1e-6}, "The budget of the session is used up: 1e-06 seconds."),
        ("day", {"max_tokens": 100}, "The budget of the day is used up: 100 tokens."),
    ],
)
async def test_a_budget_is_of_its_span(
    client: httpx.AsyncClient, span: str, bounds: dict[str, Any], text: str | None
) -> None:
    thread = await answered(client, "Hi", budget={span: bounds})
    await send(client, thread["thread_id"], "Again")

    assert refusal(await settled(client, thread["thread_id"])) == text
    # That of a thread is its own.
    assert refusal(await answered(client, "Hi", budget={span: bounds})) is None


async def test_the_account_bounds_all_sessions_and_lets_them_go_on_once_it_is_raised(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    [org] = (await post(client, "get/account"))["data"]["data"]["items"]
    spec = {"budget": {"day": {"maxTokens": 100}}}
    await post(client, "apply", manifest("Account", org["name"], spec))
    described = (await post(client, "describe/account", name=org["name"]))["data"]
    assert described["spec"] == spec
    assert refusal(await answered(client, "Hi")) is None
    thread = await answered(client, "Hi")
    assert refusal(thread) == "The budget of the account's day is used up: 100 tokens."

    await post(client, "apply", manifest("Account", org["name"], {}))
    data(await client.post(f"{THREADS}/{thread['thread_id']}/retry"))

    assert refusal(await settled(client, thread["thread_id"])) is None
    assert len(model.requests) == 2


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
        thread = await settled(client, data(launched, 201)["thread_id"])
        return refusal(thread) is None

    answers = await asyncio.gather(*(launch() for _ in range(16)))

    assert answers.count(True) == len(model.requests) == 5
    # Other sessions have other budgets.
    assert refusal(await answered(client, "Hi", budget=budget)) is None


async def test_what_a_request_reserved_that_failed_is_free_again(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    model.script(Reply(status=400, message="odd"))
    budget = {"session": {"max_tokens": 50}}
    thread = await start(client, "Hi", budget=budget)
    thread = await settled(client, thread["thread_id"])
    assert thread["messages"][-1]["content"][0]["error_code"] == "invocation_failed"

    await send(client, thread["thread_id"], "Again")

    assert refusal(await settled(client, thread["thread_id"])) is None


@pytest.mark.parametrize(
    "budget",
    [
        {"turn": {"max_steps": 0}},
        {"turn": {"max_steps": 201}},
        {"session": {"max_tokens": -1}},
        {"week": {}},
        {"day": {"max_dollars": 1}},
    ],
)
async def test_a_wrong_budget_is_refused(client: httpx.AsyncClient, budget: dict[str, Any]) -> None:
    body = {"messages": [said("Hi")], "budget": budget}
    response = await client.post(THREADS, json=body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["loc"][:2] == ["body", "budget"]


async def test_a_flow_counts_and_is_bounded_where_it_asks_models_and_nowhere_else(
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

    answer = await post(client, "prompt/Helper", {"prompt": "Hi"})
    thread = await read(client, answer["data"]["session_id"])
    refused = await send_manifest(client, "prompt/Helper", {"prompt": "Hi"})

    assert thread["usage"]["requests"] == 2
    assert thread["usage"]["input_tokens"] == 120
    assert "The budget of the day is used up: 3 steps." in refused.text
    assert len(model.requests) == 3


async def test_a_cost_is_bounded_by_prices_which_must_be_there(
    client: httpx.AsyncClient, model: OpenAiServer
) -> None:
    spec = {"type": "openai", "model": "m", "baseUrl": model.base_url}
    prices = {"input": "1000", "output": "1000"}  # a request is 0.1
    await post(client, "apply", manifest("Provider", "priced", spec | {"prices": prices}))
    await post(client, "apply", manifest("Provider", "free", spec))
    budget = {"session": {"max_cost": "0.2"}}
    thread = await answered(client, "Hi", model_profile="priced", budget=budget)
    for reason in (None, "The budget of the session is used up: 0.2 cost."):
        await send(client, thread["thread_id"], "More")
        thread = await settled(client, thread["thread_id"])
        assert refusal(thread) == reason
    assert thread["usage"]["cost"] == {"USD": "0.2"}

    assert refusal(await answered(client, "Hi", model_profile="echo", budget=budget)) is None
    for profile in ("free", "default"):
        body = {"messages": [said("Hi")], "model_profile": profile, "budget": budget}
        refused = await client.post(THREADS, json=body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["errors"][0]["loc"] == ["body", "budget"]

    assert len(model.requests) == 2
