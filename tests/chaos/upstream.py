"""The services that sessions call: an HTTP API and a model, odd by seed, with a ledger."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from tests.support.local_server import LocalServer
from tests.support.openai_server import ConnectionCutError, Reply, response_of

CALL_SECONDS = 8.0  # the limit of one attempt
_TOKEN = re.compile(r"tok[0-9a-f]{12}")

GOOD = "good"
# What the caller may not try again.
FINAL = frozenset({"400", "garbage"})
# How often each outcome comes, in per mille; the rest is good.
_ODD = {"500": 35, "503": 15, "429": 15, "429 until": 10, "reset": 30, "garbage": 5, "400": 8}
_ODD |= {"hang": 7}


@dataclass(slots=True)
class Call:
    """One request that came in, as the ledger keeps it; times are seconds of the wall clock.

    Attributes:
        key: its idempotency key, which is a step's id.
        said: the tokens in its content.
        text: the answer, if its outcome is good.
        sent: the whole answer went out while the caller was there.
        what: was asked: a tool, or "" for anything else.
        usage: tokens of the input, of the output, and of the input those that were cached.
    """

    key: str
    said: list[str]
    arrived: float
    outcome: str
    text: str = ""
    ended: float = 0.0
    sent: bool = False
    what: str = ""
    usage: tuple[int, int, int] = (1, 1, 0)

    @property
    def is_answered(self) -> bool:
        return self.outcome == GOOD and self.sent


def tokens_of(text: str) -> list[str]:
    """The tokens by which what was said is found again."""
    return _TOKEN.findall(text)


class Upstream(LocalServer):
    """Runs in this process: `/api` answers JSON, `/v1` speaks as an OpenAI-compatible model."""

    def __init__(self, seed: int, *routes: Route) -> None:
        self.random = random.Random(f"upstream {seed}")
        self.ledger: list[Call] = []
        super().__init__(
            Route("/api", self._api, methods=["POST"]),
            Route("/v1/chat/completions", self._model, methods=["POST"]),
            *routes,
        )

    async def _api(self, request: Request) -> Response:
        body = (await request.body()).decode()
        call = self.record(request, tokens_of(body))
        call.text = json.dumps({"nonce": self.nonce(), "say": call.said})
        return await self.respond(request, call, lambda: api_response(call))

    async def _model(self, request: Request) -> Response:
        body = json.loads(await request.body())
        call = self.record(request, tokens_of(_last_content(body)))
        words = " ".join(["and"] * self.random.randrange(12))
        call.text = f"{self.nonce()} heard {' '.join(call.said)} {words}".rstrip()
        return await self.answer(request, call, body)

    async def answer(
        self, request: Request, call: Call, body: dict[str, Any], calls: Sequence[Any] = ()
    ) -> Response:
        """The answer of the model to a request with that body: the call's text, and tool calls."""
        reply = _model_reply(call, self.random.uniform(0.0, 0.08), calls)
        stream = bool(body.get("stream"))
        return await self.respond(request, call, lambda: response_of(reply, stream=stream))

    def record(self, request: Request, said: list[str]) -> Call:
        """Note a request as it comes in."""
        key = request.headers.get("idempotency-key", "")
        call = Call(key, said, time.time(), self._outcome())
        self.ledger.append(call)
        return call

    def nonce(self) -> str:
        """A word that no other answer says."""
        return f"n{len(self.ledger)}"

    def _outcome(self) -> str:
        number = self.random.randrange(1000)
        for outcome, share in _ODD.items():
            number -= share
            if number < 0:
                return outcome
        return GOOD

    async def respond(
        self, request: Request, call: Call, response: Callable[[], Response]
    ) -> Response:
        """Take the call's time, unless the caller goes away, and answer."""
        gone = asyncio.ensure_future(_disconnect(request.receive))
        await asyncio.wait({gone}, timeout=self._seconds(call))
        is_gone = gone.done()
        gone.cancel()
        if is_gone:
            call.ended = time.time()
            raise ConnectionCutError
        return _Noted(response(), call)

    def _seconds(self, call: Call) -> float:
        if call.outcome == "hang":
            return CALL_SECONDS + 1.0
        if self.random.random() < 0.15:
            return self.random.uniform(1.0, 4.0)
        return self.random.uniform(0.0, 0.4)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Noted(Response):
    """A response that notes in its call when it ended, and whether all of it went out."""

    def __init__(self, response: Response, call: Call) -> None:
        super().__init__()
        self._response = response
        self._call = call

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note_end(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._call.sent = True

        try:
            await self._response(scope, receive, note_end)
        finally:
            self._call.ended = time.time()


async def _half() -> Any:
    yield b'{"nonce": '
    raise ConnectionCutError


def _retry_after(outcome: str) -> dict[str, str]:
    if outcome == "429":
        return {"Retry-After": "1"}
    return {"Retry-After": formatdate(time.time() + 2, usegmt=True)}


def api_response(call: Call) -> Response:
    """What the API answers; the text is the answer's body."""
    match call.outcome:
        case "500" | "503" | "400":
            return Response("odd", int(call.outcome))
        case "429" | "429 until":
            return Response("odd", 429, _retry_after(call.outcome))
        case "reset":
            return StreamingResponse(_half(), headers={"Content-Length": "100"})
        case "garbage":
            return Response(b"\xff\x00\xfe", 200, media_type="application/json")
        case _:
            return Response(call.text, media_type="application/json")


def _model_reply(call: Call, word_delay: float, calls: Sequence[Any]) -> Reply:
    match call.outcome:
        case "500" | "503" | "400":
            return Reply(status=int(call.outcome))
        case "429" | "429 until":
            return Reply(status=429, headers=_retry_after(call.outcome))
        case "reset":
            return Reply(text=call.text, cut_after=1)
        case "garbage":
            return Reply(raw="<html>odd</html>")
        case _ if calls:
            said = {"content": call.text, "tool_calls": list(calls)}
            return Reply(message_body=said, finish_reason="tool_calls", usage=call.usage)
        case _:
            return Reply(text=call.text, word_delay=word_delay, usage=call.usage)


def _last_content(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)
