"""What a model may answer, in both shapes, streamed and whole: one outcome each at every door.

The doors are a chat thread and a session of a flow that invokes `llm` (both with the provider of
the settings), and a prompt of an agent whose flow invokes a Provider.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.settings import LlmSettings, Settings
from tests.manifests.test_connections import apply, document, product, prompt
from tests.support.flows import Session
from tests.support.model_server import SHAPES, ModelServer, Said, Shape
from tests.support.providers import load_provider
from tests.support.threads import answered, text_of

# Each of four ways of asking is three doors for forty answers.
pytestmark = pytest.mark.slow

MAX_ATTEMPTS = 2
AT_ONCE = 4  # cases
HELLO = "Hello there."


@dataclass(frozen=True)
class Outcome:
    """What every door shows: a text, which may be cut; or an error that has these words.

    `passes` says whether the error may pass, so that the model is asked again.
    """

    text: str | None = None
    cut: bool = False
    error: str | None = None
    passes: bool = False


def fails(error: str, *, passes: bool = False) -> Outcome:
    return Outcome(error=error, passes=passes)


def body(**members: Any) -> Said:
    return Said(raw=json.dumps(members))


CASES: dict[str, tuple[Said, Outcome]] = {
    "text": (Said(), Outcome(HELLO)),
    "text is null": (Said(text=None), fails("its text is empty")),
    "text is empty": (Said(text=("",)), fails("its text is empty")),
    "only space": (Said(text=(" \n", "\t")), fails("its text is empty")),
    "only calls": (
        Said(text=None, calls=True, finish="tool_calls"),
        fails("it only called tools that nobody offered"),
    ),
    "text and calls": (Said(calls=True, finish="tool_calls"), Outcome(HELLO)),
    "only reasoning": (Said(text=None, reasoning="Hm."), fails("there is reasoning, but no text")),
    "reasoning and text": (Said(reasoning="Hm."), Outcome(HELLO)),
    "tags and text": (Said(text=("<think>Hm.</think>Hello ", "there.")), Outcome(HELLO)),
    "only tags": (Said(text=("<think>Hm.", "</think>")), fails("there is reasoning, but no text")),
    "filter": (Said(text=None, finish="content_filter"), fails("content filter")),
    "filter behind text": (Said(finish="content_filter"), fails("content filter")),
    "cut": (Said(finish="length"), Outcome(HELLO, cut=True)),
    "cut before text": (Said(text=None, finish="length"), fails("before it said anything")),
    "no finish reason": (Said(finish=None), Outcome(HELLO)),
    "empty finish reason": (Said(finish=""), Outcome(HELLO)),
    "unknown finish reason": (Said(finish="eos"), Outcome(HELLO)),
    "no usage": (Said(usage=False), Outcome(HELLO)),
    "NUL": (Said(text=("Hel\x00", "lo")), Outcome("Hel\N{REPLACEMENT CHARACTER}lo")),
    "split emoji": (Said(text=("a\ud83e", "\udd80b")), Outcome("a\U0001f980b")),
    "half emoji": (Said(text=("a\ud83e", "b")), Outcome("a\N{REPLACEMENT CHARACTER}b")),
    "reset": (Said(breaks=True), fails("the connection failed", passes=True)),
    "error": (body(error={"message": "the prompt is odd", "code": 400}), fails("prompt is odd")),
    "detail": (body(detail=[{"loc": ["body"], "msg": "too long"}]), fails("too long")),
    "busy": (body(type="error", error={"type": "overloaded_error"}), fails("error", passes=True)),
    "web page": (Said(raw="<p>Hi", content_type="text/html; charset=utf-8"), fails("a web page")),
    "no JSON": (Said(raw="Hi"), fails("cannot be read", passes=True)),
    "nothing": (Said(raw=b""), fails("cannot be read", passes=True)),
    "no choices": (body(choices=[]), fails("there is no choice in it", passes=True)),
    "compressed": (
        Said(raw=b"\x1f\x8b", headers={"content-encoding": "gzip"}),
        fails("the answer is compressed"),
    ),
}


def events(*data: str, event: str = "") -> Said:
    lines = "".join(f"{event}data: {item}\n\n" for item in data)
    return Said(raw=lines, content_type="text/event-stream")


def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


ERROR = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "odd"}})

# By shape and whether it is streamed: what only one of them can say.
MORE: dict[tuple[Shape, bool], dict[str, tuple[Said, Outcome]]] = {
    ("openai", True): {
        "only the role": (
            events(chunk(0, {"role": "assistant"}), chunk(0, {}, "stop")),
            fails("its text is empty"),
        ),
        "two choices": (
            events(
                chunk(0, {"content": "Hello "}),
                chunk(1, {"content": "Howdy"}),
                chunk(0, {"content": "there."}, "stop"),
                "[DONE]",
            ),
            Outcome(HELLO),
        ),
        "no choice in any": (events('{"choices": []}', "[DONE]"), fails("its text is empty")),
        "no JSON in it": (events("Hi", "[DONE]"), fails("cannot be read", passes=True)),
        "empty stream": (events(), fails("an empty stream", passes=True)),
        "error event": (events(ERROR, event="event: error\n"), fails("odd")),
        "refusal": (
            events(chunk(0, {"refusal": "I will not."}), chunk(0, {}, "stop"), "[DONE]"),
            fails("the model refused to answer: I will not."),
        ),
    },
    ("openai", False): {
        "two choices": (
            body(choices=[{"message": {"content": HELLO}}, {"message": {"content": "Howdy"}}]),
            Outcome(HELLO),
        ),
        "no UTF-8": (
            Said(raw=b'{"choices": [{"message": {"content": "a\xf0\x9fb"}}]}'),
            Outcome("a\N{REPLACEMENT CHARACTER}b"),
        ),
        "refusal": (
            body(choices=[{"message": {"content": None, "refusal": "I will not."}}]),
            fails("the model refused to answer: I will not."),
        ),
        "choices of nothing": (body(choices=[None]), fails("cannot be read", passes=True)),
    },
    ("anthropic", True): {
        "empty stream": (events(), fails("an empty stream", passes=True)),
        "only pings": (events('{"type": "ping"}'), fails("broke off", passes=True)),
        "error event": (events(ERROR, event="event: error\n"), fails("odd")),
    },
    ("anthropic", False): {
        "no content": (
            body(type="message", content=[], stop_reason="end_turn"),
            fails("its text is empty"),
        ),
    },
}


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture(params=[(s, streamed) for s in SHAPES for streamed in (True, False)], ids=str)
def way(request: pytest.FixtureRequest) -> tuple[Shape, bool]:
    """How the model is spoken to."""
    shape, streamed = request.param
    load_provider(shape)
    return shape, streamed


@pytest.fixture
def settings(settings: Settings, upstream: ModelServer, way: tuple[Shape, bool]) -> Settings:
    shape, streamed = way
    llm = LlmSettings(provider=shape, base_url=upstream.base_url(shape), model="m", stream=streamed)
    step = settings.step.model_copy(update={"max_attempts": MAX_ATTEMPTS})
    return settings.model_copy(update={"llm": llm, "step": step})


async def through_thread(client: httpx.AsyncClient, asked: str) -> Outcome:
    thread = await answered(client, asked)
    message = thread["messages"][-1]
    blocks = {b.get("error_code"): b.get("error_message") for b in message["content"]}
    if message["status"] == "failed":
        return Outcome(error=blocks["invocation_failed"])
    return Outcome(text_of(message), "cut_by_length" in blocks)


async def through_session(client: httpx.AsyncClient, asked: str) -> Outcome:
    answer = await (await Session.start(client, "plain")).send("ask", asked)
    return Outcome(answer["response"], answer["cut"], answer["error"])


async def through_prompt(client: httpx.AsyncClient, asked: str) -> Outcome:
    response = await prompt(client, asked)
    if response.status_code == 502:
        return Outcome(error=response.json()["error"])
    assert response.status_code == 200, response.text
    answer = response.json()["data"]
    return Outcome(answer["response"], answer["cut"])


DOORS = {"thread": through_thread, "session": through_session, "prompt": through_prompt}


@pytest.mark.usefixtures("worker")
async def test_each_answer_has_one_outcome_at_every_door(
    client: httpx.AsyncClient, upstream: ModelServer, way: tuple[Shape, bool]
) -> None:
    await apply(client, *flows(upstream, *way))
    cases = {**CASES, **MORE[way]}
    upstream.answers = {name: said for name, (said, _) in cases.items()}
    some = asyncio.Semaphore(AT_ONCE)
    wrong: dict[tuple[str, str], Outcome | int] = {}

    async def check(name: str, expected: Outcome) -> None:
        async with some:
            shown = await asyncio.gather(*(door(client, name) for door in DOORS.values()))
        for door, outcome in zip(DOORS, shown, strict=True):
            if not fits(outcome, expected):
                wrong[name, door] = outcome
        calls = len(DOORS) * (MAX_ATTEMPTS if expected.passes else 1)
        if upstream.requests[name] != calls:
            wrong[name, "calls"] = upstream.requests[name]

    await asyncio.gather(*(check(name, expected) for name, (_, expected) in cases.items()))
    assert wrong == {}


def fits(outcome: Outcome, expected: Outcome) -> bool:
    if expected.error is None or outcome.error is None:
        return outcome == expected
    return outcome.text is None and expected.error in outcome.error


def flows(upstream: ModelServer, shape: Shape, streamed: bool) -> list[dict[str, Any]]:
    """An agent whose flow asks a Provider, and a flow that asks the provider of the settings."""
    provider = {
        "type": shape,
        "baseUrl": upstream.base_url(shape),
        "model": "m",
        "apiKey": "key",
        "stream": streamed,
    }
    documents = product({"invoke": "used", "template": "{{ actor_input }}"}, Provider=provider)
    flow = next(d["spec"] for d in documents if d["kind"] == "Flow")
    working = {"invoke": "llm", "template": "{{ chat_history }}"}
    plain = flow | {"templates": flow["templates"] | {"working": working}}
    return [*documents, document("Flow", "plain", plain)]
