"""What other servers repeat of the secrets that they were sent reaches no answer and no error."""

import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.invokers.chat import ChatMessage, ChatRequest, ChatTool
from app.invokers.http import HttpInvoker
from app.invokers.invoker import Answer, InvocationContext, InvokerError
from app.invokers.llm import LlmInvoker
from app.invokers.tool import ServerTool
from app.invokers.web.request_parts import RequestParts
from app.invokers.web.secret_texts import MaskedStream, SecretMask
from tests.support.canaries import CANARIES, SENDABLE, echoes, leaked
from tests.support.http_server import HttpServer, Says
from tests.support.model_server import SHAPES, ModelServer, Said, Shape
from tests.support.providers import load_provider
from tests.support.sinks import Sink

LOCAL = ("127.0.0.0/8",)
STEP = InvocationContext("stp_1", timeout=10)
TOOL = ServerTool(type="http", name="t", config={"method": "POST", "path": "x"})


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async with HttpServer() as server:
        yield server


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


async def outcomes(server: HttpServer, status: int, said: str, config: dict[str, Any]) -> str:
    """All that comes of a call by a template and one by a tool, if the server says this to both."""
    invoker = HttpInvoker.from_config({"base_url": server.url, "egress_allow": LOCAL, **config})
    sink, found = Sink(), []
    try:
        for call in (
            lambda: invoker.invoke("{}", replace(STEP, emit=sink, request=RequestParts("x"))),
            lambda: invoker.call(TOOL, {}, STEP),
        ):
            server.script(Says(said, status))
            try:
                found.append(json.dumps(await call(), ensure_ascii=False))
            except InvokerError as error:
                found.append(str(error))
    finally:
        await invoker.close()
    assert all(text for text in found)
    return "\n".join(
        [*found, *(json.loads(text) for text in found if text[:1] == '"'), *sink.pieces]
    )


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("secret", SENDABLE.values(), ids=SENDABLE)
async def test_an_api_that_repeats_a_header_tells_nobody(
    server: HttpServer, secret: str, status: int
) -> None:
    config = {"auth_method": "token", "api_key": secret, "headers": {"X-Api-Key": secret}}
    shown = await outcomes(server, status, "before " + echoes(secret) + " after", config)

    assert leaked(shown, secret) == []
    assert "before" in shown
    assert any(got.headers["x-api-key"] == secret for got in server.requests)


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("secret", CANARIES.values(), ids=CANARIES)
async def test_an_api_that_repeats_a_user_and_a_password_tells_nobody(
    server: HttpServer, secret: str, status: int
) -> None:
    user = "someone-of-the-team"
    config = {"auth_method": "basic", "username": user, "password": secret}
    said = echoes(secret, user, f"{user}:{secret}")
    shown = await outcomes(server, status, said, config)

    assert leaked(shown, secret, user, f"{user}:{secret}") == []
    sent = server.requests[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"{user}:{secret}"
    assert sent not in shown


@pytest.mark.parametrize("status", [200, 500])
async def test_what_a_token_server_gave_tells_nobody(server: HttpServer, status: int) -> None:
    token, config = SENDABLE["backslashes"], {"username": "client", "password": SENDABLE["quotes"]}
    server.script(Says(json.dumps({"access_token": token, "expires_in": 600})))
    oauth = {**config, "auth_method": "oauth", "token_url": f"{server.url}/token"}
    shown = await outcomes(server, status, echoes(token, config["password"]), oauth)

    assert leaked(shown, token, config["password"]) == []


async def test_no_cut_leaves_the_half_of_a_secret(server: HttpServer) -> None:
    """Wherever the cut goes: what is masked is the whole text."""
    secret = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3
    for before in range(220, 310, 15):
        said = "." * before + secret + "." * 4_000
        shown = await outcomes(server, 401, said, {"auth_method": "token", "api_key": secret})
        assert "ABCD" not in shown


async def test_plain_headers_are_no_secrets_of_an_answer(server: HttpServer) -> None:
    headers = {"Accept": "application/json", "X-Api-Key": SENDABLE["plain"]}
    said = "we sent you application/json"
    assert said in await outcomes(server, 200, said, {"headers": headers})


def llm(model: ModelServer, shape: Shape, key: str, *, stream: bool) -> LlmInvoker:
    load_provider(shape)
    config = {"provider": shape, "base_url": model.base_url(shape), "model": "m", "stream": stream}
    return LlmInvoker.from_config({**config, "api_key": key, "egress_allow": LOCAL})


async def asked(invoker: LlmInvoker, sink: Sink) -> str:
    """All that a model request comes to."""
    tools = (ChatTool("f", "", {"type": "object"}),)
    try:
        request = ChatRequest([ChatMessage("user", "hi")], tools)
        answer = await invoker.ask(request, replace(STEP, emit=sink))
    except InvokerError as error:
        return str(error)
    finally:
        await invoker.close()
    assert isinstance(answer, Answer)
    return "\n".join([answer.text, *map(str, answer.calls), str(answer.reasoning), *sink.pieces])


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_model_that_repeats_its_key_tells_nobody(
    model: ModelServer, shape: Shape, *, stream: bool
) -> None:
    """In its text, piece by piece, in what it thinks, and in the name of a tool."""
    for secret in (SENDABLE[name] for name in ("backslashes", "JSON", "its own parts")):
        said = echoes(secret)
        parts = (said[at : at + 13] for at in range(0, len(said), 13))
        pieces = ("before ", *parts, " after")
        model.answers["hi"] = Said(pieces, reasoning=said, calls=True, tool=secret)
        sink = Sink()
        shown = await asked(llm(model, shape, secret, stream=stream), sink)

        assert leaked(shown, secret) == []
        assert leaked(sink.text, secret) == []
        assert sink.text.startswith("before ")
        assert sink.text.endswith(" after")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_model_that_refuses_with_its_key_tells_nobody(
    model: ModelServer, shape: Shape
) -> None:
    secret = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 3
    for before in range(420, 510, 19):
        text = "." * before + secret
        message = {"role": "assistant", "content": None, "refusal": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        for raw in (
            {"error": {"message": text, "type": "x"}},
            {"error": {"message": text, "code": secret}},
            {"choices": [choice]},
        ):
            model.answers["hi"] = Said(raw=json.dumps(raw))
            shown = await asked(llm(model, shape, secret, stream=False), Sink())
            assert "ABCD" not in shown


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_no_model_is_followed_to_another_server(
    server: HttpServer, shape: Shape, *, stream: bool
) -> None:
    """Neither the key nor what was said goes to where a model's server points."""
    async with HttpServer() as other:
        for status in (302, 308):
            server.script(*[Says("", status, {"Location": f"{other.url}/v1"})] * 2)
            load_provider(shape)
            config = {"provider": shape, "base_url": server.url, "model": "m", "stream": stream}
            invoker = LlmInvoker.from_config(
                {**config, "api_key": SENDABLE["plain"], "egress_allow": LOCAL}
            )
            assert await asked(invoker, Sink())
        assert server.requests
        assert other.requests == []


async def test_no_api_and_no_token_server_is_followed_to_another_server(
    server: HttpServer,
) -> None:
    async with HttpServer() as other:
        away = Says("", 307, {"Location": f"{other.url}/token"})
        signed = {"username": "client", "password": SENDABLE["plain"]}
        oauth = {**signed, "auth_method": "oauth", "token_url": f"{server.url}/token"}
        for config in (oauth, {**signed, "auth_method": "basic"}):
            invoker = HttpInvoker.from_config(
                {"base_url": server.url, "egress_allow": LOCAL, **config}
            )
            server.script(away, away)
            with pytest.raises(InvokerError, match="307"):
                await invoker.invoke("{}", replace(STEP, request=RequestParts("x")))
            with pytest.raises(InvokerError, match="307"):
                await invoker.call(TOOL, {}, STEP)
            await invoker.close()
        assert len(server.requests) == 4
        assert other.requests == []


def test_masking_is_quick_and_leaves_the_rest_as_it_is() -> None:
    mask = SecretMask(CANARIES.values())
    text = "".join(f"{secret} word " for secret in CANARIES.values()) * 20
    assert set(mask.text(text).replace("***", "").split()) == {"word"}
    for hostile in ("a" * 300_000, "canary-00" * 30_000, "\\" * 300_000):
        best = min(_seconds(mask, hostile) for _ in range(3))
        assert best < 0.2
        assert mask.text(hostile) == hostile


async def test_a_long_answer_is_masked_beside_the_event_loop(server: HttpServer) -> None:
    """All else waits for the loop, and an answer may be searched for many secrets."""
    headers = {f"X-Key-{number}": f"{SENDABLE['plain']}-{number:02}" for number in range(50)}
    invoker = HttpInvoker.from_config(
        {"base_url": server.url, "egress_allow": LOCAL, "headers": headers}
    )
    server.script(Says("word " * 300_000))
    began = time.thread_time()
    await invoker.invoke("{}", replace(STEP, request=RequestParts("x")))
    assert time.thread_time() - began < 0.15
    await invoker.close()


@pytest.mark.parametrize("secret", ['"<&/\\' * 800, "a" * 4_000, "ab" * 2_000])
@pytest.mark.parametrize(("before", "behind"), [("", "x"), ("x", ""), ("", "")])
def test_a_stream_that_repeats_a_secret_without_end_is_masked_quickly(
    secret: str, before: str, behind: str
) -> None:
    mask, piece = SecretMask([secret]), f"{before}{secret[:-5]}{behind}"
    assert min(_seconds(mask.stream(), piece) for _ in range(3)) < 0.03


def test_a_stream_is_held_back_only_where_a_secret_may_begin() -> None:
    stream = SecretMask(["abcdefgh", "abcdefghijkl", "efghzz00"]).stream()
    given = ["x", "abc", "d! ", "abcdefgh", "ijkl", " abcdefgh", "zz", "00 ", "abcdef"]
    assert [stream.feed(piece) for piece in given] == [
        "x", "", "abcd! ", "", "***", " ", "", "*** ", "",
    ]  # fmt: skip
    assert stream.end() == "abcdef"


def _seconds(mask: SecretMask | MaskedStream, text: str) -> float:
    began = time.thread_time()
    mask.text(text) if isinstance(mask, SecretMask) else mask.feed(text)
    return time.thread_time() - began
