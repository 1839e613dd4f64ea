"""The http invoker over real HTTP, against a scripted server."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.invokers.http import HttpInvoker
from app.invokers.invoker import FailureKind, InvocationContext, InvokerError, TransientInvokerError
from app.invokers.web.http_config import RequestConfig
from app.invokers.web.request_parts import RequestParts
from tests.support.http_server import HttpServer, Says
from tests.support.sinks import Sink

LOCAL = ("127.0.0.0/8",)
CONTEXT = InvocationContext("stp_1")


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async with HttpServer() as server:
        yield server


async def call(server: HttpServer, content: str = "{}", path: str = "", **config: Any) -> str:
    invoker = HttpInvoker.from_config({"base_url": server.url, "egress_allow": LOCAL, **config})
    context = replace(CONTEXT, request=RequestParts(path))
    try:
        return await invoker.invoke(content, context)
    finally:
        await invoker.close()


async def failure(server: HttpServer, content: str = "{}", **config: Any) -> InvokerError:
    with pytest.raises(InvokerError) as caught:
        await call(server, content, **config)
    return caught.value


async def test_sends_the_content_and_gives_back_the_body(server: HttpServer) -> None:
    server.script(Says('{"ok": true}'))
    invoker = HttpInvoker.from_config({"base_url": server.url, "egress_allow": LOCAL})
    sink = Sink()
    answer = await invoker.invoke('{"a": 1}', InvocationContext("stp_1", emit=sink))
    await invoker.close()

    assert answer == '{"ok": true}'
    (got,) = server.requests
    assert (got.method, got.url, got.body) == ("POST", "/", '{"a": 1}')
    assert got.headers["content-type"] == "application/json"
    assert got.headers["idempotency-key"] == "stp_1"


async def test_what_is_not_json_is_text(server: HttpServer) -> None:
    await call(server, "Grüße", method="PUT", path="/notes/1", headers={"X-Way": "a"})

    (got,) = server.requests
    assert (got.method, got.url, got.body) == ("PUT", "/notes/1", "Grüße")
    assert got.headers["content-type"] == "text/plain; charset=utf-8"
    assert got.headers["x-way"] == "a"


async def test_get_has_a_query_and_no_body(server: HttpServer) -> None:
    await call(server, '{"q": "a b", "n": 2}', method="GET", path="search")
    await call(server, "", method="DELETE", path="x?soft=1")

    assert [(got.method, got.url, got.body) for got in server.requests] == [
        ("GET", "/search?q=a+b&n=2", ""),
        ("DELETE", "/x?soft=1", ""),
    ]
    assert "no body" in str(await failure(server, "text", method="GET"))


async def test_a_request_signs_in_as_its_connection_says(server: HttpServer) -> None:
    await call(server, auth_method="token", api_key="t0ken")
    pair = {"username": "ann", "password": "pass:word"}
    await call(server, auth_method="basic", **pair)

    bearer, basic = (got.headers["authorization"] for got in server.requests)
    assert bearer == "Bearer t0ken"
    assert base64.b64decode(basic.removeprefix("Basic ")) == b"ann:pass:word"


OAUTH = {"auth_method": "oauth", "username": "client", "password": "client-secret", "scope": "a b"}


async def test_oauth_asks_once_for_a_token_and_again_when_it_is_refused(
    server: HttpServer,
) -> None:
    first, second = (json.dumps({"access_token": t, "expires_in": 600}) for t in ("one", "two"))
    server.script(Says(first), Says(), Says(), Says(status=401), Says(second), Says("done"))
    config = {**OAUTH, "base_url": server.url, "token_url": f"{server.url}/token"}
    invoker = HttpInvoker.from_config({**config, "egress_allow": LOCAL})
    answers = [await invoker.invoke("{}", CONTEXT) for _ in range(3)]
    await invoker.close()

    assert answers == ["fine", "fine", "done"]
    paths = [got.url for got in server.requests]
    assert paths == ["/token", "/", "/", "/", "/token", "/"]
    assert server.requests[0].body == "grant_type=client_credentials&scope=a+b"
    assert server.requests[-1].headers["authorization"] == "Bearer two"


async def test_failures_of_a_token_server_are_told_apart(server: HttpServer) -> None:
    config = {**OAUTH, "token_url": f"{server.url}/token"}
    server.script(Says(status=503), Says(status=400), Says("nonsense"))

    away = await failure(server, **config)
    assert isinstance(away, TransientInvokerError)
    assert away.names == {"503", "5xx"}
    for _ in range(2):
        error = await failure(server, **config)
        assert not isinstance(error, TransientInvokerError)
        assert "client-secret" not in str(error)


@pytest.mark.parametrize("status", [408, 429, 503])
async def test_a_busy_token_server_may_pass(server: HttpServer, status: int) -> None:
    server.script(Says("later", status, {"Retry-After": "1.5"}))
    error = await failure(server, **OAUTH, token_url=f"{server.url}/token")

    assert isinstance(error, TransientInvokerError)
    assert error.retry_after == 1.5


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_what_may_pass_is_transient(server: HttpServer, status: int) -> None:
    server.script(Says("later", status, {"Retry-After": "7"}))
    error = await failure(server)

    assert isinstance(error, TransientInvokerError)
    assert error.retry_after == 7.0
    assert str(error) == f"the API answered {status}: later"
    assert error.names - {"timeout"} == {str(status), f"{status // 100}xx"}
    assert ("timeout" in error.names) == (status == 408)


@pytest.mark.parametrize("status", [302, 400, 403, 404])
async def test_what_will_not_pass_is_final_and_tells_no_secret(
    server: HttpServer, status: int
) -> None:
    server.script(Says("bad key t0ken-123", status, {"Location": "http://elsewhere.example"}))
    error = await failure(server, auth_method="token", api_key="t0ken-123")

    assert not isinstance(error, TransientInvokerError)
    assert str(error) == f"the API answered {status}: bad key ***"
    assert error.names == {str(status), f"{status // 100}xx"}
    assert len(server.requests) == 1


async def test_no_answer_in_time(server: HttpServer) -> None:
    server.script(Says(delay=5.0))
    error = await failure(server, timeout=0.05)
    assert isinstance(error, TransientInvokerError)
    assert (error.kind, error.names) == (FailureKind.TIMEOUT, {"timeout"})


async def test_a_server_that_nobody_runs_may_come_back(server: HttpServer) -> None:
    error = await failure(server, base_url="http://127.0.0.1:1")
    assert isinstance(error, TransientInvokerError)
    assert (error.kind, error.names) == (FailureKind.CONNECTION, {"connection"})


async def test_an_answer_that_is_no_text(server: HttpServer) -> None:
    server.script(Says("a\0b"))
    assert (await failure(server)).names == {"answer"}


async def test_only_allowed_addresses_are_called(server: HttpServer) -> None:
    assert "not an address" in str(await failure(server, egress_allow=()))
    assert server.requests == []


@pytest.mark.parametrize(
    "config",
    [
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"X-Y": "a\r\nb: c"}},
        {"headers": {"X Y": "a"}},
        {"method": "TRACE"},
        {"timeout": 0},
        {"colour": "red"},
        {"base_url": "ftp://x"},
        {"base_url": "http://x/?a=b"},
    ],
)
def test_wrong_configs_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="invalid invoker config"):
        HttpInvoker.from_config({"base_url": "http://api.example", **config})


@pytest.mark.parametrize("path", ["../admin", "a/%2e%2e/b", "a\\b", "a b"])
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must not hold"):
        RequestConfig(path=path)


@pytest.mark.parametrize("path", ["//evil.example/x", "/@evil.example", ":80@evil.example", "?a=1"])
async def test_a_path_stays_below_the_base_url(server: HttpServer, path: str) -> None:
    await call(server, path=path, base_url=f"{server.url}/base")
    assert server.requests[0].url.startswith("/base")


def test_a_connection_is_needed() -> None:
    with pytest.raises(ValueError, match="name an ApiConnection"):
        HttpInvoker.from_config({})
