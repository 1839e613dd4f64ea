"""What a token server answers is bounded, and judged before it is believed."""

import json
import time

import pytest

from app.invokers.http import HttpInvoker
from app.invokers.invoker import InvocationContext, InvokerError
from tests.support.http_server import HttpServer, Says

STEP = InvocationContext("stp_1", timeout=10)


def answer(expires_in: str) -> str:
    return f'{{"access_token": "a-token", "expires_in": {expires_in}}}'


ANSWERS = {
    "NaN": answer("NaN"),
    "without end": answer("Infinity"),
    "past every number": answer("1e999"),
    "a century of digits": answer("9" * 400),
    "longer than any token": answer("1e15"),
    "a text that is no number": answer('"NaN"'),
    "digits of another script": answer('"٣٦٠٠"'),
    "negative": answer("-1"),
    "at once": answer("0"),
    "true": answer("true"),
    "a list": answer("[3600]"),
    "deep": '{"access_token": "a-token", "expires_in": ' + "[" * 30_000 + "]" * 30_000 + "}",
    "very deep": "[" * 2_000_000,
    "large": json.dumps({"access_token": "a-token", "expires_in": 60, "x": "y" * 5_000_000}),
    "a long token": json.dumps({"access_token": "t" * 40_000, "expires_in": 60}),
    "an empty token": json.dumps({"access_token": "", "expires_in": 60}),
    "a token with a line end": json.dumps({"access_token": "a\r\nX-Evil: 1", "expires_in": 60}),
    "a token with blanks": json.dumps({"access_token": " a-token ", "expires_in": 60}),
    "no object": '["access_token"]',
    "a text": '"access_token"',
    "null": "null",
    "no JSON": "access_token=a-token&expires_in=60",
}


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_no_token_is_refused_in_our_words(said: str) -> None:
    async with HttpServer() as server:
        server.script(Says(said))
        config = {
            "base_url": server.url,
            "token_url": f"{server.url}/token",
            "auth_method": "oauth",
            "username": "client",
            "password": "client-secret",
            "egress_allow": ("127.0.0.0/8",),
        }
        invoker = HttpInvoker.from_config(config)
        began = time.thread_time()
        try:
            with pytest.raises(InvokerError, match=r"^the token server") as caught:
                await invoker.invoke("{}", STEP)
        finally:
            await invoker.close()
        assert time.thread_time() - began < 1
        assert len(str(caught.value)) < 100
        assert [got.url for got in server.requests] == ["/token"]


@pytest.mark.parametrize("expires_in", ["3600", '"3600"', "3600.5", "null"])
async def test_a_token_is_kept_for_as_long_as_it_is_valid(expires_in: str) -> None:
    async with HttpServer() as server:
        server.script(Says(answer(expires_in)))
        config = {
            "base_url": server.url,
            "token_url": f"{server.url}/token",
            "auth_method": "oauth",
        }
        invoker = HttpInvoker.from_config({**config, "egress_allow": ("127.0.0.0/8",)})
        try:
            for _ in range(2):
                assert await invoker.invoke("{}", STEP) == "fine"
        finally:
            await invoker.close()
        assert [got.url for got in server.requests] == ["/token", "/", "/"]
