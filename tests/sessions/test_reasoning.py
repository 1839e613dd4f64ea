"""What a model thought before it called a tool: it is sent it back, and nobody else is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.worker import serving
from tests.support.manifests import manifest, post
from tests.support.model_server import SHAPES, ModelServer, Said, Shape
from tests.support.providers import load_provider
from tests.support.shop import reachable
from tests.support.threads import THREADS, Reader, read, send, settled, start, texts

THOUGHT = "I had better \x00 look it up."
TOOL = {"name": "client_look", "description": "Looks.", "input_schema": {"type": "object"}}
FOUND = {"result": "found"}
CASES = [(shape, streamed) for shape in SHAPES for streamed in (True, False)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return reachable(settings)


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[ModelServer]:
    """Thinks, and calls the tool; then it answers."""
    for shape in SHAPES:
        load_provider(shape)
    async with ModelServer() as model, serving(settings):
        looks = Said(("One ", "moment."), "tool_calls", THOUGHT, calls=True, tool="client_look")
        model.answers |= {
            "Hello": looks,
            json.dumps(FOUND, separators=(",", ":")): Said(),
            "And now?": Said(),
        }
        yield model


def provider(model: ModelServer, shape: Shape, streamed: bool, name: str = "m") -> dict[str, Any]:
    spec = {"type": shape, "baseUrl": model.base_url(shape), "model": name, "stream": streamed}
    return manifest("Provider", "thinker", spec | {"apiKey": "key"})


async def called(client: httpx.AsyncClient, model: ModelServer, *way: Any) -> dict[str, Any]:
    """A thread whose model waits for the client's result."""
    key = manifest("Secret", "key", {"config": {"value": "sk-0123456789"}})
    for document in (key, provider(model, *way)):
        await post(client, "apply", document)
    thread = await start(client, "Hello", model_profile="thinker", client_tools=[TOOL])
    await Reader(client, thread["thread_id"]).follow("client_tool_turn")
    return await read(client, thread["thread_id"])


async def answer_call(client: httpx.AsyncClient, thread: dict[str, Any]) -> dict[str, Any]:
    """The thread once its client has given the result."""
    use = thread["messages"][-1]["content"][-1]
    ends = {"tool_use_id": use["tool_use_id"], "tool_name": use["tool_name"], "runtime_ms": 1}
    result = ends | {"status": "success", "output": FOUND}
    url = f"{THREADS}/{thread['thread_id']}/tool-results"
    (await client.post(url, json={"tool_results": [result]})).raise_for_status()
    return await settled(client, thread["thread_id"])


def thoughts(request: dict[str, Any]) -> list[Any]:
    """What stands of the model's reasoning in the answer with the call."""
    answer = next(m for m in request["messages"] if m["role"] == "assistant")
    if isinstance(answer["content"], list):
        kinds = [block["type"] for block in answer["content"]]
        assert [kind for kind in kinds if kind != "thinking"] == ["text", "tool_use"]
        return [block for block in answer["content"][:1] if block["type"] == "thinking"]
    return [answer["reasoning_content"]] if "reasoning_content" in answer else []


@pytest.mark.parametrize(("shape", "streamed"), CASES)
async def test_reasoning_goes_back_within_the_turn_and_is_not_shown(
    client: httpx.AsyncClient, model: ModelServer, shape: Shape, streamed: bool
) -> None:
    thread = await answer_call(client, await called(client, model, shape, streamed))
    await send(client, thread["thread_id"], "And now?")
    thread = await settled(client, thread["thread_id"])

    assert texts(thread) == ["Hello", "One moment.", "", "Hello there.", "And now?", "Hello there."]
    _, second, third = model.bodies
    signed = {"type": "thinking", "thinking": THOUGHT, "signature": "s"}
    assert thoughts(second) == [signed if shape == "anthropic" else THOUGHT]
    assert thoughts(third) == []
    assert "better" not in json.dumps(thread)


@pytest.mark.parametrize("shape", SHAPES)
async def test_another_model_is_not_sent_it(
    client: httpx.AsyncClient, model: ModelServer, shape: Shape
) -> None:
    thread = await called(client, model, shape, True)
    await post(client, "apply", provider(model, shape, True, "another"))
    thread = await answer_call(client, thread)

    assert texts(thread)[-1] == "Hello there."
    assert thoughts(model.bodies[-1]) == []
