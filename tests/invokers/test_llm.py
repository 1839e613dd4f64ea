"""The llm invoker over real HTTP, against a scripted OpenAI-compatible server."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest

from app.invokers.chat_models import connection
from app.invokers.invoker import InvocationContext, InvokerError, TransientInvokerError
from app.invokers.llm import LlmInvoker, provider_names
from tests.support.openai_server import DEFAULT_TEXT, OpenAiServer, Reply
from tests.support.sinks import Sink

KEY = "sk-secret-0123456789"


@pytest.fixture
async def server() -> AsyncIterator[OpenAiServer]:
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
async def llm(server: OpenAiServer) -> AsyncIterator[LlmInvoker]:
    invoker = make(server)
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


def context(sink: Sink | None = None, seconds: float = 10.0) -> InvocationContext:
    return InvocationContext("stp_1", timeout=seconds, emit=sink or Sink())


async def failure(llm: LlmInvoker, seconds: float = 10.0) -> InvokerError:
    with pytest.raises(InvokerError) as caught:
        await llm.invoke("hi", context(seconds=seconds))
    assert KEY not in str(caught.value)
    return caught.value


async def test_streams_each_piece_as_it_comes(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.script(Reply(text="one two three"))
    sink = Sink()
    assert (await llm.invoke("hi", context(sink))).text == "one two three"
    assert sink.pieces == ["one", " two", " three"]


async def test_a_piece_is_emitted_before_the_answer_is_complete(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.script(Reply(text="one two", word_delay=0.2))
    sink = Sink()
    call = asyncio.create_task(llm.invoke("hi", context(sink)))
    await sink.first.wait()
    assert sink.text == "one"
    assert not call.done()
    assert (await call).text == "one two"


async def test_sends_the_chat_the_key_the_parameters_and_the_step_id(
    server: OpenAiServer,
) -> None:
    llm = make(server, parameters={"temperature": 0.5, "seed": 7, "extra_body": {"x": 1}})
    chat = (
        "- {role: system, content: be kind}\n- {role: user, content: hi}\n"
        "- {role: assistant, content: hello}\n- {role: user, content: bye}"
    )
    await llm.invoke(chat, context())
    await llm.close()
    (request,) = server.requests
    assert request.headers["idempotency-key"] == "stp_1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "test-model"
    assert (request.body["temperature"], request.body["seed"], request.body["x"]) == (0.5, 7, 1)
    assert [(m["role"], m["content"]) for m in request.body["messages"]] == [
        ("system", "be kind"),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "bye"),
    ]


async def test_an_answer_without_streaming_comes_whole(server: OpenAiServer) -> None:
    llm = make(server, stream=False)
    sink = Sink()
    assert (await llm.invoke("hi", context(sink))).text == DEFAULT_TEXT
    await llm.close()
    assert sink.pieces == [DEFAULT_TEXT]
    assert not server.requests[0].body.get("stream")


async def test_a_server_that_cannot_stream_is_asked_once_only(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.default = Reply(never_stream=True)
    sink = Sink()
    assert (await llm.invoke("hi", context(sink))).text == DEFAULT_TEXT
    assert sink.pieces == [DEFAULT_TEXT]
    assert (await llm.invoke("hi", context())).text == DEFAULT_TEXT
    assert [bool(request.body.get("stream")) for request in server.requests] == [True, False, False]


async def test_a_server_that_cannot_stream_is_remembered_though_it_fails_then(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.script(Reply(never_stream=True), Reply(status=503))
    assert isinstance(await failure(llm), TransientInvokerError)
    assert (await llm.invoke("hi", context())).text == DEFAULT_TEXT
    assert [bool(request.body.get("stream")) for request in server.requests] == [True, False, False]


async def test_a_server_that_answered_whole_is_asked_for_a_stream_later(
    server: OpenAiServer, llm: LlmInvoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WHOLE_SECONDS", 0.01)
    server.script(Reply(never_stream=True), Reply())
    await llm.invoke("hi", context())
    await asyncio.sleep(0.02)
    sink = Sink()
    assert (await llm.invoke("hi", context(sink))).text == DEFAULT_TEXT
    assert len(sink.pieces) > 1
    assert [bool(request.body.get("stream")) for request in server.requests] == [True, False, True]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_a_status_that_may_pass_is_transient_and_asked_once(
    server: OpenAiServer, llm: LlmInvoker, status: int
) -> None:
    server.script(Reply(status=status, message="come back"))
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert str(status) in str(error)
    assert "come back" in str(error)
    assert error.names - {"timeout"} == {str(status), f"{status // 100}xx"}
    assert error.retry_after is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "259200"}, 259_200),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"retry-after-ms": "nan", "Retry-After": "2"}, 2),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        *(({"Retry-After": odd}, None) for odd in ("-5", "inf", "nan", "1e9", "soon", "")),
    ],
)
async def test_retry_after_in_seconds(
    server: OpenAiServer, llm: LlmInvoker, headers: dict[str, str], seconds: float | None
) -> None:
    server.script(Reply(status=429, headers=headers))
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert error.retry_after == seconds


async def test_retry_after_as_a_date(server: OpenAiServer, llm: LlmInvoker) -> None:
    date = formatdate(time.time() + 30, usegmt=True)
    server.script(Reply(status=503, headers={"Retry-After": date}))
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert error.retry_after == pytest.approx(30, abs=3)


async def test_a_final_status_may_say_when_to_ask_again_too(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.script(Reply(status=403, headers={"Retry-After": "7"}))
    assert (await failure(llm)).retry_after == 7  # for a policy that tries 403 again


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_another_4xx_is_final_and_tells_why_without_the_key(
    server: OpenAiServer, llm: LlmInvoker, status: int
) -> None:
    server.script(Reply(status=status, message=f"key {KEY} is not good"))
    error = await failure(llm)
    assert not isinstance(error, TransientInvokerError)
    assert str(error) == f"the model answered {status}: key *** is not good"
    assert error.names == {str(status), "4xx"}


async def test_a_long_error_is_cut(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.script(Reply(status=400, message="x" * 5000))
    assert len(str(await failure(llm))) < 600


@pytest.mark.parametrize("stream", [True, False])
async def test_a_slow_answer_is_transient(server: OpenAiServer, stream: bool) -> None:
    server.script(Reply(delay=60))
    llm = make(server, stream=stream)
    error = await failure(llm, seconds=0.3)
    await llm.close()
    assert isinstance(error, TransientInvokerError)
    assert error.names == {"timeout"}


async def test_a_stream_that_drags_on_is_transient(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.script(Reply(text="a b c d e f g h i j", word_delay=0.2))
    assert isinstance(await failure(llm, seconds=0.5), TransientInvokerError)


@pytest.mark.parametrize("cut_after", [0, 1, 2])
async def test_a_cut_stream_is_transient(
    server: OpenAiServer, llm: LlmInvoker, cut_after: int
) -> None:
    server.script(*[Reply(text="one two three", cut_after=cut_after)] * 2)
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert error.names == {"connection"}


async def test_a_stream_that_ends_without_saying_so_is_transient(
    server: OpenAiServer, llm: LlmInvoker
) -> None:
    server.script(Reply(finish=False))
    assert isinstance(await failure(llm), TransientInvokerError)


@pytest.mark.parametrize("raw", ["{not json", "[]", '{"choices": []}', "<html>", "null", '"x"'])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_unreadable_answer_is_transient(
    server: OpenAiServer, stream: bool, raw: str
) -> None:
    server.default = Reply(raw=raw)
    llm = make(server, stream=stream)
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert error.names == {"answer"}
    await llm.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_body_is_transient(server: OpenAiServer, stream: bool) -> None:
    server.default = Reply(never_stream=True, cut_after=1)
    llm = make(server, stream=stream)
    assert isinstance(await failure(llm), TransientInvokerError)
    await llm.close()


async def test_nobody_listening_is_transient(server: OpenAiServer) -> None:
    llm = make(server, base_url="http://127.0.0.1:1/v1")
    error = await failure(llm)
    assert isinstance(error, TransientInvokerError)
    assert error.names == {"connection"}
    await llm.close()


async def test_a_redirect_is_not_followed(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.script(Reply(status=307, headers={"Location": f"{server.base_url}/chat/completions"}))
    error = await failure(llm)
    assert not isinstance(error, TransientInvokerError)
    assert "redirect" in str(error)
    assert len(server.requests) == 1


async def test_an_address_that_is_not_allowed_is_final(server: OpenAiServer) -> None:
    llm = make(server, egress_allow=[])
    error = await failure(llm)
    await llm.close()
    assert not isinstance(error, TransientInvokerError)
    assert "127.0.0.1" in str(error)
    assert server.requests == []


async def test_the_environment_says_nothing(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "from-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "from-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    llm = make(server, api_key=None)
    assert (await llm.invoke("hi", context())).text == DEFAULT_TEXT
    await llm.close()
    assert "from-environment" not in str(server.requests)


async def test_an_error_of_the_sink_is_the_sinks_own(llm: LlmInvoker) -> None:
    async def broken(_text: str) -> None:
        raise OverflowError("full")

    with pytest.raises(OverflowError):
        await llm.invoke("hi", InvocationContext("stp_1", emit=broken))


async def test_cancelling_stops_the_request(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.default = Reply(gate=asyncio.Event())
    call = asyncio.create_task(llm.invoke("hi", context()))
    await server.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    server.default = Reply()
    assert (await llm.invoke("hi", context())).text == DEFAULT_TEXT


async def test_many_calls_at_once_share_one_invoker(server: OpenAiServer, llm: LlmInvoker) -> None:
    server.script(*(Reply(text=f"answer {number}", word_delay=0.01) for number in range(20)))
    answers = await asyncio.gather(*(llm.invoke("hi", context()) for _ in range(20)))
    assert sorted(answer.text for answer in answers) == sorted(
        f"answer {number}" for number in range(20)
    )


async def test_nothing_of_the_content_or_the_key_is_logged(
    server: OpenAiServer, llm: LlmInvoker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await llm.invoke("my private words", context())
        server.script(Reply(status=401))
        await failure(llm)
    assert "private words" not in caplog.text
    assert DEFAULT_TEXT not in caplog.text
    assert KEY not in caplog.text


async def test_with_no_provider_the_echo_model_answers() -> None:
    sink = Sink()
    answer = await LlmInvoker.from_config({}).invoke("hi there", context(sink))
    assert answer.text == sink.text == "[echo model] You said: hi there"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"provider": "nobody", "model": "m"}, "unknown provider 'nobody'; known: anthropic, open"),
        ({"provider": "google", "model": "m"}, "pydantic-ai-slim"),
        ({"provider": "../x", "model": "m"}, "unknown provider"),
        ({"provider": "openai"}, "needs a model"),
        ({"api_key": KEY}, "need a provider"),
        ({"provider": "openai", "model": "m", "base_url": "ftp://x"}, "base_url"),
        ({"provider": "openai", "model": "m", "base_url": "file:///etc/passwd"}, "base_url"),
        ({"provider": "openai", "model": "m", "parameters": {"temprature": 1}}, "temprature"),
        ({"provider": "openai", "model": "m", "egress_allow": ["x"]}, "'x'"),
        ({"provider": "openai", "model": "m", "api_key": [KEY]}, "api_key"),
    ],
)
def test_a_bad_config_says_what_is_wrong_without_the_key(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        LlmInvoker.from_config(config)
    assert KEY not in str(caught.value)


def test_providers_are_the_files_in_the_folder() -> None:
    assert provider_names() == ["anthropic", "openai"]
