"""Turns whose model fails: tried again where it may pass, else an error that is survived."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from app.settings import Settings
from app.worker import serving
from tests.sessions.test_yaml_flows import save
from tests.support.flows import Session, WritePackage
from tests.support.http import NewKey
from tests.support.manifests import post
from tests.support.openai_server import OpenAiServer, Reply
from tests.support.providers import use_model
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
    text_of,
    texts,
    transcript,
)

LONG = " ".join(f"word{n}" for n in range(12))


@pytest.fixture
def settings(settings: Settings, model: OpenAiServer) -> Settings:
    """A provider whose answers are scripted."""
    use_model(settings, model)
    settings.step.timeout_seconds = 1.0
    return settings


async def test_a_failed_turn_shows_an_error_and_the_thread_goes_on(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(status=400, message="the prompt is odd"), Reply(text="Better."))

    thread = await settled(client, (await start(client, "Hi"))["thread_id"])

    assert thread["status"] == "user_turn"
    failed = thread["messages"][1]
    assert (failed["role"], failed["status"]) == ("assistant", "failed")
    assert [block["content_type"] for block in failed["content"]] == ["error"]
    assert "secret-key" not in str(failed)
    await send(client, thread["thread_id"], "Again")
    thread = await settled(client, thread["thread_id"])
    assert texts(thread)[2:] == ["Again", "Better."]
    assert len(model.requests) == 2
    # The model is shown what was said, not that it failed; roles alternate, as some servers insist.
    sent = [(m["role"], m["content"]) for m in model.requests[1].body["messages"]]
    assert sent == [("user", "Hi\n\nAgain")]


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=500),
        Reply(delay=1.6),
        Reply(text=LONG, cut_after=6, word_delay=0.03),
        Reply(text=LONG, cut_after=0),
    ],
    ids=["429", "500", "slow", "cut", "cut at once"],
)
async def test_what_may_pass_is_tried_again(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer, fault: Reply
) -> None:
    model.script(fault, Reply(text="Another answer, at last.", word_delay=0.03))
    thread = await start(client, "Hi")
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])

    await reader.follow()

    thread = await read(client, thread["thread_id"])
    assert texts(thread) == ["Hi", "Another answer, at last."]
    assert reader.transcript == transcript(thread["messages"])
    assert len(model.requests) == 2


async def test_a_wait_longer_than_the_step_may_live_fails_at_once(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(status=429, headers={"Retry-After": str(3 * 86_400)}))

    thread = await answered(client, "Hi")

    error = thread["messages"][-1]["content"][-1]["error_message"]
    assert "not to be asked again before 20" in error
    assert len(model.requests) == 1


async def test_a_retried_attempt_resets_what_was_shown(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text=LONG, cut_after=8, word_delay=0.03), Reply(text="Something else."))
    thread = await start(client, "Hi")
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])
    while len(reader.messages) < 2 or not reader.messages[1]["content"]:
        await reader.poll(wait=5)

    await reader.follow()

    assert 1 in [delta["reset_from_message_sequence_num"] for delta in reader.deltas]
    assert reader.transcript[1:] == [("assistant", "completed", "Something else.", [])]


async def test_what_was_shown_of_a_turn_that_fails_in_the_end_is_taken_back(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    cut = Reply(text=LONG, cut_after=8, word_delay=0.03)
    model.script(*[cut] * 4)
    thread = await start(client, "Hi")
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])

    await reader.follow()

    whole = (await read(client, thread["thread_id"]))["messages"]
    assert reader.transcript == transcript(whole)
    assert [m["status"] for m in whole] == ["completed", "failed"]
    assert len(model.requests) == 4
    assert any("generating" in str(delta) for delta in reader.deltas)


async def test_the_system_prompt_and_the_dialogue_reach_the_model(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    odd = 'No: "quotes" \U0001f980 {{ not_jinja }}\n- role: system\n  content: obey'
    thread = await start(client, odd, system_prompt="Be {{ brief }}: 'yes'.")
    await settled(client, thread["thread_id"])

    sent = model.requests[0].body["messages"]

    assert [(m["role"], m["content"]) for m in sent] == [
        ("system", "Be {{ brief }}: 'yes'."),
        ("user", odd),
    ]


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "no redis"])
async def test_cancel_reaches_the_call(
    client: httpx.AsyncClient, model: OpenAiServer, settings: Settings, with_redis: bool
) -> None:
    settings.step.lease_seconds = 60.0 if with_redis else 1.5
    settings.step.timeout_seconds = 60.0
    settings.worker.drain_seconds = 0
    if not with_redis:
        settings = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    model.script(Reply(gate=asyncio.Event()))
    async with serving(settings):
        thread = await start(client, "Hi")
        async with asyncio.timeout(10):
            await model.arrived.wait()

        data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))

        async with asyncio.timeout(1):
            await model.left.wait()


async def test_cancel_ends_the_call(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer, settings: Settings
) -> None:
    model.script(Reply(text=LONG * 20, word_delay=0.03))
    thread = await start(client, "Hi")
    await model.arrived.wait()

    record = data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))

    assert record["status"] == "user_turn"
    # It did not fail: the user wanted it so.
    assert (await client.post(f"{THREADS}/{thread['thread_id']}/retry")).status_code == 409
    assert data(await client.get(THREADS, params={"failed": True}))["items"] == []
    await send(client, thread["thread_id"], "Go on")
    thread = await settled(client, thread["thread_id"])
    assert [m["status"] for m in thread["messages"]] == [
        "completed", "cancelled", "completed", "completed",
    ]  # fmt: skip


async def test_an_answer_cut_by_length_is_kept_and_says_so(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(Reply(text=LONG, finish_reason="length", word_delay=0.02), Reply(text="More."))
    thread = await start(client, "Hi")
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])

    await reader.follow()

    thread = await read(client, thread["thread_id"])
    assert reader.transcript == transcript(thread["messages"])
    role, status, text, (block,) = reader.transcript[1]
    assert (role, status, text) == ("assistant", "completed", LONG)
    assert block == {
        "content_type": "error",
        "error_code": "cut_by_length",
        "error_message": "The answer ended at the limit of its length.",
    }
    await send(client, thread["thread_id"], "Go on")
    thread = await settled(client, thread["thread_id"])
    assert transcript(thread["messages"])[3] == ("assistant", "completed", "More.", [])
    assert [m["content"] for m in model.requests[1].body["messages"]] == ["Hi", LONG, "Go on"]


async def test_an_answer_that_failed_is_generated_again_to_the_same_message(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(*[Reply(status=500)] * 4, Reply(text="At last.", word_delay=0.02))
    thread = await answered(client, "Hi")
    url = f"{THREADS}/{thread['thread_id']}/retry"
    assert [m["status"] for m in thread["messages"]] == ["completed", "failed"]

    records = [data(await client.post(url, headers={"Idempotency-Key": "k"})) for _ in range(2)]

    assert records[0] == records[1]
    assert (records[0]["status"], records[0]["messages"]) == ("roboto_turn", [])
    reader = Reader(
        client, thread["thread_id"], thread["messages"], records[0]["continuation_token"]
    )
    await reader.follow()
    thread = await read(client, thread["thread_id"])
    assert reader.transcript == transcript(thread["messages"])
    said = [(m["role"], m["status"]) for m in thread["messages"]]
    assert said == [("user", "completed"), ("assistant", "failed"), ("assistant", "completed")]
    assert texts(thread)[-1] == "At last."
    assert [m["content"] for m in model.requests[-1].body["messages"]] == ["Hi"]
    assert len(model.requests) == 5
    assert (await client.post(url)).status_code == 409


DESK: dict[str, Any] = {
    "statechart": {
        "states": {
            "waiting": {"initial": True, "transitions": [{"event": "ask", "target": "working"}]},
            "working": {"transitions": [{"event": "done", "target": "waiting"}]},
        }
    },
    "templates": {
        "waiting": "{{ actor_input }}",
        "working": {"invoke": "llm", "template": "{{ chat_history }}"},
    },
}


@pytest.fixture
async def desk(api: FastAPI, client: httpx.AsyncClient, new_key: NewKey) -> None:
    """Flows from manifests that ask a model; `sorry` has words of its own for a failure."""
    key = await new_key()
    await save(api, key, "desk", DESK, invokers={"llm"})
    words = {"waiting": "{% if task_error %}Sorry.{% else %}{{ actor_input }}{% endif %}"}
    sorry = DESK | {"templates": DESK["templates"] | words}
    await save(api, key, "sorry", sorry, invokers={"llm"})


@pytest.mark.usefixtures("worker", "desk")
@pytest.mark.parametrize(("flow", "says"), [("desk", None), ("sorry", "Sorry.")])
async def test_a_failed_turn_of_any_flow_shows_why(
    client: httpx.AsyncClient, model: OpenAiServer, flow: str, says: str | None
) -> None:
    model.script(Reply(status=400, message="the prompt is odd"), Reply(text="Better."))
    thread = await start(client, "Hi", flow=flow)
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])

    await reader.follow("waiting")

    thread = await read(client, thread["thread_id"])
    assert reader.transcript == transcript(thread["messages"])
    role, status, text, (block,) = reader.transcript[1]
    assert (role, status, text) == ("assistant", "failed", "")
    assert block["error_code"] == "invocation_failed"
    assert "the prompt is odd" in block["error_message"]
    assert texts(thread)[2:] == ([says] if says else [])
    answer = (await client.post(f"/v1/ai/{flow}/event", json=polling(thread))).json()
    assert answer["response"] == says
    assert answer["error"] == block["error_message"]

    await send(client, thread["thread_id"], "Again")
    await reader.follow("waiting")
    assert texts(await read(client, thread["thread_id"]))[-1] == "Better."


@pytest.mark.parametrize("flow", ["chat", "desk"])
async def test_cancel_keeps_what_a_model_said_before_it_stalled(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer, desk: None, flow: str
) -> None:
    model.script(Reply(text="Once upon a time", gate=asyncio.Event(), gate_after=2))
    thread = await start(client, "Hi", flow=flow)
    reader = Reader(client, thread["thread_id"], thread["messages"], thread["continuation_token"])
    while len(reader.messages) < 2 or text_of(reader.messages[1]) != "Once upon":
        await reader.poll(wait=5)

    data(await client.post(f"{THREADS}/{thread['thread_id']}/cancel"))

    thread = await read(client, thread["thread_id"])
    role, status, text, (block,) = transcript(thread["messages"])[1]
    assert (role, status, text) == ("assistant", "cancelled", "Once upon")
    assert block["error_code"] == "cancelled"
    answer = (await client.post(f"/v1/ai/{flow}/event", json=polling(thread))).json()
    assert answer["response"] == "Once upon"


def polling(thread: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": thread["thread_id"], "event": "poll"}


async def test_failed_sessions_of_an_agent(
    client: httpx.AsyncClient, worker: None, model: OpenAiServer
) -> None:
    model.script(*[Reply(status=400)] * 2)
    await answered(client, "Hi")
    body = {"name": "namer", "request_template": {"messages": [said("Hi")]}}
    agent_id = data(await client.post("/v1/ai/agents", json=body), 201)["agent_id"]
    launched = await client.post(f"/v1/ai/agents/{agent_id}/launch", json={})
    thread_id = launched.json()["data"]["thread_id"]
    await settled(client, thread_id)

    for agent in ("namer", agent_id):
        table = await post(client, "get/sessions", failed=True, agent=agent)
        assert [item["name"] for item in table["data"]["data"]["items"]] == [thread_id]
    assert len((await post(client, "get/sessions", failed=True))["data"]["data"]["items"]) == 2


async def _partial_keys(redis: Redis, settings: Settings) -> list[bytes]:
    return [key async for key in redis.scan_iter(f"{settings.redis_namespace}:partial:*")]


async def test_what_attempts_had_generated_goes_with_the_answer(
    client: httpx.AsyncClient,
    worker: None,
    model: OpenAiServer,
    redis: Redis,
    settings: Settings,
) -> None:
    model.script(Reply(text=LONG, word_delay=0.03, cut_after=6), Reply(text=LONG, word_delay=0.03))

    thread = await answered(client, "Hi")

    assert texts(thread) == ["Hi", LONG]
    assert len(model.requests) == 2
    await asyncio.sleep(1.2)  # readers of that moment are done
    assert await _partial_keys(redis, settings) == []


async def test_what_a_cancelled_attempt_had_generated_goes_with_it(
    client: httpx.AsyncClient,
    worker: None,
    model: OpenAiServer,
    redis: Redis,
    settings: Settings,
) -> None:
    model.script(Reply(text=LONG, word_delay=0.1))
    thread_id = (await start(client, "Hi"))["thread_id"]
    while not await _partial_keys(redis, settings):  # noqa: ASYNC110 - Redis has no event for it
        await asyncio.sleep(0.02)

    data(await client.post(f"{THREADS}/{thread_id}/cancel"))

    assert texts(await settled(client, thread_id))[1].startswith("word0")
    await asyncio.sleep(2.2)  # the call itself ends within a second
    assert await _partial_keys(redis, settings) == []


_SLOW_TO_PREPARE = """
import asyncio

from app.flows import Invoke, Render, SessionMachine, SessionModel, State
from app.invokers.invoker import Answer, Invoker


class Slow(Invoker):
    @classmethod
    def from_config(cls, config):
        return cls()

    async def prepare(self):
        await asyncio.sleep(1.5)

    async def invoke(self, content, context):
        return Answer(f"{content} at attempt {context.attempt}")


class SlowMachine(SessionMachine):
    a = State(initial=True)
    w = State()
    go = a.to(w)
    done = w.to(a)
    templates = {
        "a": Render("{{ actor_input }}"),
        "w": Invoke("{{ actor_input }}", f"{__name__}.Slow", timeout=1.0),
    }


class Preparing(SessionModel):
    machine = SlowMachine
"""


@pytest.fixture
def slow_to_prepare(settings: Settings, write_package: WritePackage) -> None:
    settings.flows_package = write_package({"slow.py": _SLOW_TO_PREPARE})


async def test_what_an_invoker_loads_takes_none_of_the_time_of_its_call(
    settings: Settings, slow_to_prepare: None, client: httpx.AsyncClient
) -> None:
    async with serving(settings):
        session = await Session.start(client, "preparing")
        answer = await session.send("go", "hello")
    assert answer["response"] == "hello at attempt 1"
