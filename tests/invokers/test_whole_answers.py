"""Answers of servers that are nearly compatible, mostly whole, and what these are sent back."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.invokers.chat import ChatMessage, ChatRequest, ChatTool, ToolOutput
from app.invokers.invoker import (
    Answer,
    InvocationContext,
    ToolCall,
    TransientInvokerError,
    Usage,
)
from app.invokers.llm import LlmInvoker
from tests.support.openai_server import OpenAiServer, Reply

TOOL = ChatTool("f", "A tool.", {"type": "object", "properties": {}})
COUNTS = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
async def llm(server: OpenAiServer) -> AsyncIterator[LlmInvoker]:
    invoker = connected(server, stream=False)
    yield invoker
    await invoker.close()


def connected(server: OpenAiServer, *, stream: bool) -> LlmInvoker:
    config = {"provider": "openai", "base_url": server.base_url, "model": "m", "api_key": "k"}
    return LlmInvoker.from_config(config | {"egress_allow": ["127.0.0.0/8"], "stream": stream})


async def asked(llm: LlmInvoker, *messages: ChatMessage) -> Answer:
    request = ChatRequest([ChatMessage("user", "Hi"), *messages], (TOOL,))
    return await llm.ask(request, InvocationContext("stp_1"))


def completion(message: dict[str, Any], usage: Any = COUNTS) -> Reply:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Reply(raw=json.dumps({"choices": [choice], "usage": usage}))


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        ({"function": {"name": "f", "arguments": {"a": 1}}}, "f", {"a": 1}),
        ({"function": {"name": "f", "arguments": None}}, "f", {}),
        ({"function": {"name": "f", "arguments": [1]}}, "f", None),
        ({"id": 5, "type": None, "function": {"name": "f"}}, "f", {}),
        ({"function": {"name": 5, "arguments": "{}"}}, "", {}),
        ({"function": {"name": None, "arguments": "{}"}}, "", {}),
        ({"function": None}, "", {}),
        ({"type": "custom", "custom": {"name": "f", "input": "x"}}, "", {}),
        (None, "", {}),
    ],
)
async def test_a_call_is_read_as_far_as_it_can_be(
    server: OpenAiServer, llm: LlmInvoker, call: Any, name: str, arguments: Any
) -> None:
    server.default = completion({"content": None, "tool_calls": [call]})
    answer = await asked(llm)
    assert [(one.name, one.arguments) for one in answer.calls] == [(name, arguments)]
    assert answer.usage == Usage(7, 3)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_tokens": 7, "completion_tokens": "many"}, Usage(7, 0)),
        ({"prompt_tokens": 7.0, "completion_tokens": -3}, Usage(7, 0)),
        ({"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": None}}, Usage(7, 0)),
        ({"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(7, 0, 4)),
        ([1], Usage()),
        (None, Usage()),
    ],
)
async def test_odd_counts_cost_no_answer(
    server: OpenAiServer, llm: LlmInvoker, counts: Any, usage: Usage
) -> None:
    server.default = completion({"content": "Hello."}, counts)
    answer = await asked(llm)
    assert (answer.text, answer.usage) == ("Hello.", usage)


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": None}, {"said": "Hello."}])
async def test_what_is_no_answer_was_counted_too(
    server: OpenAiServer, llm: LlmInvoker, body: dict[str, Any]
) -> None:
    server.default = Reply(raw=json.dumps(body | {"usage": COUNTS}))
    with pytest.raises(TransientInvokerError) as caught:
        await asked(llm)
    assert caught.value.usage == Usage(7, 3)


@pytest.mark.parametrize(
    ("calls", "read"),
    [
        ({"a": 1}, []),
        (5, []),
        ([None], []),
        ([{"index": 0, "id": "c", "function": None}], []),
        ([{"index": 0, "id": "c", "function": {"name": 5, "arguments": "{}"}}], []),
        ([{"id": 5, "function": {"name": "f", "arguments": {"a": 1}}}], [("f", {"a": 1})]),
        ([{"id": "c", "function": {"name": "f", "arguments": "{}"}}] * 2, [("f", {})] * 2),
    ],
)
async def test_a_stream_is_read_as_far_as_it_can_be(
    server: OpenAiServer, calls: Any, read: list[Any]
) -> None:
    said = {"content": "Hello.", "tool_calls": calls}
    server.default = Reply(message_body=said, usage=(7, 3, 0))
    llm = connected(server, stream=True)
    answer = await asked(llm)
    await llm.close()
    assert [(call.name, call.arguments) for call in answer.calls] == read
    assert (answer.text, answer.usage) == ("Hello.", Usage(7, 3))


async def test_a_failure_is_sent_with_its_text_once(server: OpenAiServer, llm: LlmInvoker) -> None:
    failed, done = ToolCall("tu_1", "f", {}), ToolCall("tu_2", "f", {})
    outputs = (
        ToolOutput(failed, {"error": "It is closed."}, failed=True),
        ToolOutput(done, {"error": "none"}),
    )
    calls = ChatMessage("assistant", "", (failed, done))
    await asked(llm, calls, ChatMessage("user", "", outputs=outputs))
    told = [m["content"] for m in server.requests[0].body["messages"] if m["role"] == "tool"]
    assert [json.loads(text) for text in told] == [{"error": "It is closed."}, {"error": "none"}]


async def test_a_name_that_a_model_made_up_is_sent_as_servers_take_it(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    names = {"functions.f": "functions_f", "": "unnamed", "é" * 70: "_" * 64, "f": "f"}
    calls = tuple(ToolCall(f"tu_{n}", name, {}) for n, name in enumerate(names))
    outputs = tuple(ToolOutput(call, "There is no such tool.", failed=True) for call in calls)
    said = (ChatMessage("assistant", "", calls), ChatMessage("user", "", outputs=outputs))
    await asked(llm, *said)
    sent = server.requests[0].body["messages"][1]["tool_calls"]
    assert [call["function"]["name"] for call in sent] == list(names.values())
