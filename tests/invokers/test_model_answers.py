"""What a model may answer, streaming and not: one clear outcome each, and one request."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.invokers.chat_models.answer_text import AnswerText
from app.invokers.invoker import (
    Answer,
    Finish,
    InvocationContext,
    InvokerError,
    TransientInvokerError,
)
from app.invokers.llm import LlmInvoker, LlmSettingsError
from app.invokers.pool import Invokers
from app.main import create_app
from app.settings import LlmSettings, Settings
from app.wire.messages import MAX_TEXT
from tests.support.openai_server import DEFAULT_TEXT, OpenAiServer, Reply
from tests.support.sinks import Sink

KEY = "sk-secret-0123456789"
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
async def llm(request: pytest.FixtureRequest, server: OpenAiServer) -> AsyncIterator[LlmInvoker]:
    invoker = make(server, stream=request.param)
    yield invoker
    await invoker.close()


def make(server: OpenAiServer, **config: Any) -> LlmInvoker:
    return LlmInvoker.from_config(
        {
            "provider": "openai",
            "base_url": server.base_url,
            "model": "test-model",
            "api_key": KEY,
            "egress_allow": ["127.0.0.0/8"],
            **config,
        }
    )


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps(body | {'choices': [choice]})}"


async def ask(llm: LlmInvoker, sink: Sink | None = None) -> str:
    return (await whole(llm, sink)).text


async def whole(llm: LlmInvoker, sink: Sink | None = None) -> Answer:
    return await llm.invoke("hi", InvocationContext("stp_1", emit=sink or Sink()))


async def failure(llm: LlmInvoker, server: OpenAiServer) -> InvokerError:
    """The error of a final failure, which is asked for once."""
    with pytest.raises(InvokerError) as caught:
        await ask(llm)
    assert not isinstance(caught.value, TransientInvokerError), caught.value
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(text=""), "its text is empty"),
        (Reply(text="  \n "), "its text is empty"),
        (Reply(message_body={"content": None}), "its text is empty"),
        (
            Reply(message_body={"content": None, "tool_calls": [CALL]}, finish_reason="tool_calls"),
            "tools that nobody offered",
        ),
        (Reply(message_body={"content": "", "reasoning_content": "hm"}), "reasoning, but no text"),
        (Reply(text="<think>hm</think>"), "reasoning, but no text"),
        (Reply(text="<think>hm and on"), "reasoning, but no text"),
        (Reply(text="", finish_reason="length"), "limit of its length before it said anything"),
        (Reply(message_body={"content": None, "refusal": "I will not."}), "refused.*I will not"),
        (Reply(text="", finish_reason="content_filter"), "content filter"),
        (Reply(text="half of", finish_reason="content_filter"), "content filter"),
    ],
)
async def test_no_text_is_a_failure_that_says_why(
    server: OpenAiServer, llm: LlmInvoker, reply: Reply, says: str
) -> None:
    server.default = reply
    error = await failure(llm, server)
    assert re.search(says, str(error)), error


async def test_an_answer_cut_by_length_is_kept_and_marked(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.default = Reply(text="as far as", finish_reason="length")
    answer = await whole(llm)
    assert (answer.text, answer.finish) == ("as far as", Finish.LENGTH)


async def test_an_endless_answer_is_given_up(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.default = Reply(raw="x" * 10_000_001)
    assert "larger than 10,000,000 bytes" in str(await failure(llm, server))


async def test_an_answer_longer_than_a_message_may_be_is_cut(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.default = Reply(text="x" * (MAX_TEXT + 1))
    sink = Sink()
    assert await whole(llm, sink) == Answer("x" * MAX_TEXT, Finish.LENGTH)
    assert sink.text == "x" * MAX_TEXT


@pytest.mark.parametrize(
    "text", ["<think>hm</think>Yes.", "<think>hm</think>\n\nYes.", "\n<thinking>a</thinking>Yes."]
)
async def test_reasoning_in_tags_is_no_part_of_the_answer(
    server: OpenAiServer, llm: LlmInvoker, text: str
) -> None:
    server.default = Reply(message_body={"content": text})
    sink = Sink()
    assert await ask(llm, sink) == "Yes."
    assert sink.text == "Yes."


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>hm</think>Yes.", "Yes."),
        ("<think>a</think><think>b</think> Yes. <think>", "Yes. <think>"),
        ("<thi", "<thi"),
        ("<b>bold</b>", "<b>bold</b>"),
        (" a <think>b</think>", " a <think>b</think>"),
        ("\ud83e\udd80!", "\U0001f980!"),
        ("a\ud83eb\udd80c\x00", "a\ufffdb\ufffdc\ufffd"),
        ("\ud83e", "\ufffd"),
    ],
)
def test_pieces_of_any_size_give_the_same_text(text: str, answer: str, size: int) -> None:
    taker = AnswerText()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert "".join(taker.feed(piece) for piece in pieces) + taker.end() == answer


async def test_an_emoji_split_over_two_chunks_is_whole(server: OpenAiServer) -> None:
    halves = [chunk({"content": "a\ud83e"}), chunk({"content": "\udd80b"}), chunk({}, "stop")]
    server.script(Reply(lines=[*halves, "data: [DONE]"]))
    llm = make(server)
    assert await ask(llm) == "a\U0001f980b"
    await llm.close()


async def test_half_an_emoji_and_nul_become_the_replacement_character(
    server: OpenAiServer, llm: LlmInvoker, request: pytest.FixtureRequest
) -> None:
    body = json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "a\ud83eb\x00c"},
                }
            ],
        }
    )
    lines = [chunk({"content": "a\ud83eb\x00c"}), chunk({}, "stop"), "data: [DONE]"]
    server.default = Reply(raw=body)
    if request.node.callspec.id == "stream":
        server.default = Reply(lines=lines)
    assert await ask(llm) == "a\ufffdb\ufffdc"


async def test_bytes_that_are_no_text_become_the_replacement_character(
    server: OpenAiServer,
) -> None:
    odd = chunk({"content": "aXb"}).encode().replace(b"X", b"\xf0\x9f")
    server.script(Reply(lines=[odd, chunk({}, "stop"), "data: [DONE]"]))
    llm = make(server)
    assert await ask(llm) == "a\ufffdb"
    await llm.close()


@pytest.mark.parametrize("finish", [None, ""])
async def test_a_stream_that_is_done_needs_no_finish_reason(
    server: OpenAiServer, finish: str | None
) -> None:
    server.default = Reply(finish_reason=finish)
    llm = make(server)
    assert await ask(llm) == DEFAULT_TEXT
    await llm.close()
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish", [None, ""])
async def test_a_whole_answer_needs_no_finish_reason(
    server: OpenAiServer, finish: str | None
) -> None:
    server.default = Reply(finish_reason=finish)
    llm = make(server, stream=False)
    assert await ask(llm) == DEFAULT_TEXT
    await llm.close()


ERRORS = [
    ({"error": {"message": "the prompt is odd", "code": 400}}, "the prompt is odd"),
    ({"error": f"no such model {KEY}"}, "no such model"),
    ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required"),
    ({"detail": "not today"}, "not today"),
    ({"type": "error", "error": {"type": "invalid_request_error", "message": "odd"}}, "odd"),
]


@pytest.mark.parametrize(("body", "says"), ERRORS)
async def test_an_error_with_status_200_is_final_and_its_words_are_kept(
    server: OpenAiServer, llm: LlmInvoker, body: dict[str, Any], says: str
) -> None:
    server.default = Reply(raw=json.dumps(body))
    assert says in str(await failure(llm, server))


@pytest.mark.parametrize(("body", "says"), ERRORS)
@pytest.mark.parametrize("event", ["", "event: error\n"])
async def test_an_error_in_a_stream_is_final_and_its_words_are_kept(
    server: OpenAiServer, body: dict[str, Any], says: str, event: str
) -> None:
    server.default = Reply(lines=[chunk({"content": "Well"}), f"{event}data: {json.dumps(body)}"])
    llm = make(server)
    assert says in str(await failure(llm, server))
    await llm.close()


async def test_an_error_event_of_plain_text_is_told(server: OpenAiServer) -> None:
    server.default = Reply(lines=["event: error\ndata: out of order"])
    llm = make(server)
    assert "out of order" in str(await failure(llm, server))
    await llm.close()


async def test_a_busy_server_that_says_so_with_status_200_may_pass(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.default = Reply(raw='{"error": {"message": "too many", "code": 429}}')
    with pytest.raises(TransientInvokerError, match="too many"):
        await ask(llm)
    assert len(server.requests) == 1


async def test_an_empty_stream_does_not_turn_streaming_off(server: OpenAiServer) -> None:
    server.script(Reply(lines=[]))
    llm = make(server)
    with pytest.raises(TransientInvokerError, match="empty stream"):
        await ask(llm)
    assert await ask(llm) == DEFAULT_TEXT
    await llm.close()
    assert [request.body.get("stream") for request in server.requests] == [True, True]


async def test_streaming_is_switched_off_in_settings(server: OpenAiServer) -> None:
    settings = LlmSettings(provider="openai", base_url=server.base_url, model="m", stream=False)
    invokers = Invokers(settings)
    answer = await invokers.resolve("llm").invoke("x", InvocationContext("stp_1"))
    assert answer.text == DEFAULT_TEXT
    await invokers.close()
    assert not server.requests[0].body.get("stream")


async def test_the_query_of_a_base_url_stands_behind_the_path(server: OpenAiServer) -> None:
    llm = make(server, base_url=f"{server.base_url}?team=a%20b")
    assert await ask(llm) == DEFAULT_TEXT
    await llm.close()
    (request,) = server.requests
    assert (request.path, request.query) == ("/v1/chat/completions", "team=a+b")
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_azure_gets_its_version_and_its_key(server: OpenAiServer) -> None:
    llm = make(server, base_url=f"{server.base_url}?api-version=2024-10-21")
    assert await ask(llm) == DEFAULT_TEXT
    await llm.close()
    (request,) = server.requests
    assert request.query == "api-version=2024-10-21"
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (LlmSettings(provider="opnai", model="m"), "unknown provider 'opnai'; known: anthropic"),
        (LlmSettings(provider="openai"), "needs a model"),
        (LlmSettings(provider="openai", model="m", base_url="models.local"), "base_url"),
        (LlmSettings(base_url="http://models.local"), "need a provider"),
    ],
)
def test_workers_and_the_api_refuse_a_wrong_default_provider_at_start(
    settings: LlmSettings, says: str
) -> None:
    with pytest.raises(LlmSettingsError, match=says):
        Invokers(settings)
    with pytest.raises(LlmSettingsError, match=says):
        create_app(Settings(dev=True, llm=settings))


def test_an_empty_setting_is_none() -> None:
    empty = {"provider": "", "base_url": " ", "model": "", "api_key": ""}
    settings = LlmSettings.model_validate(empty)
    assert settings.model_dump(exclude_none=True) == LlmSettings().model_dump(exclude_none=True)
