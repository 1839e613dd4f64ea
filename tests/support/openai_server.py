"""A local OpenAI-compatible chat server whose answers are scripted, request by request."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from app.kit.concurrency.tasks import end_tasks
from tests.support.local_server import LocalServer

DEFAULT_TEXT = "Hello from the test model."


@dataclass(frozen=True)
class Reply:
    """How the server answers one request.

    Attributes:
        text: the answer of the model.
        status: 200 gives the answer; any other an OpenAI-style error with `message`.
        headers: further response headers, such as Retry-After.
        message: the text of an error.
        delay: seconds before the response starts.
        word_delay: seconds before each piece of a stream.
        cut_after: drop the connection after so many pieces of a stream (of a body: at once).
        raw: send this body, with status 200, instead of an answer.
        never_stream: answer with a plain body even when a stream was asked for.
        finish: whether a stream ends with a finish reason and `[DONE]`.
        gate: the response waits for this event too.
        gate_after: it waits so only before this piece of a stream.
        lines: the events of a stream, where one is asked for; without the empty lines between.
        message_body: members of the answer's message, in place of its text.
        finish_reason: why the answer ended.
        usage: tokens of the input, of the output, and of the input those that were cached; None
            where the server does not count those of a stream.
    """

    text: str = DEFAULT_TEXT
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted error"
    delay: float = 0.0
    word_delay: float = 0.0
    cut_after: int | None = None
    raw: str | None = None
    never_stream: bool = False
    finish: bool = True
    gate: asyncio.Event | None = None
    gate_after: int | None = None
    lines: Sequence[str | bytes] | None = None
    message_body: dict[str, Any] | None = None
    finish_reason: str | None = "stop"
    usage: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came in; header names are in lower case."""

    path: str
    query: str
    headers: dict[str, str]
    body: dict[str, Any]


class ConnectionCutError(Exception):
    """Ends a response in the middle; uvicorn then drops the connection."""


class OpenAiServer(LocalServer):
    """The server, running in the event loop of the test.

    ```
    async with OpenAiServer() as server:
        server.script(Reply(status=500), Reply(text="fine now"))
        ...  # base URL: server.base_url
        assert len(server.requests) == 2
    ```

    Attributes:
        requests: every request that came in, in order.
        default: the answer once the script has run out.
        arrived: set by the first request.
        left: set by the first client that goes while it waits for a gate.
        counted: the usage of all answers that have one.
    """

    def __init__(self, default: Reply | None = None) -> None:
        self.default = default or Reply()
        self.requests: list[RecordedRequest] = []
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.counted: list[tuple[int, int, int]] = []
        self._script: deque[Reply] = deque()
        super().__init__(Route("/v1/chat/completions", self._answer, methods=["POST"]))

    @property
    def base_url(self) -> str:
        """What a client is given, such as `http://127.0.0.1:41234/v1`."""
        return f"{self.url}/v1"

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these, in order."""
        self._script.extend(replies)

    async def _answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.requests.append(
            RecordedRequest(request.url.path, request.url.query, dict(request.headers), body)
        )
        self.arrived.set()
        reply = self._script.popleft() if self._script else self.default
        await asyncio.sleep(reply.delay)
        if reply.gate is not None and reply.gate_after is None:
            await self._wait(request, reply.gate)
        if reply.usage is not None and reply.status == HTTPStatus.OK:
            self.counted.append(reply.usage)
        return response_of(reply, stream=bool(body.get("stream")))

    async def _wait(self, request: Request, gate: asyncio.Event) -> None:
        opened, gone = asyncio.create_task(gate.wait()), asyncio.create_task(_disconnect(request))
        try:
            await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                self.left.set()
        finally:
            await end_tasks(opened, gone)


def response_of(reply: Reply, *, stream: bool) -> Response:
    """The response to a request that asks for a stream, or not; its delay is over."""
    if reply.status != 200:
        error = {"message": reply.message, "type": "scripted", "code": None}
        return JSONResponse({"error": error}, reply.status, reply.headers)
    if reply.raw is not None:
        return Response(reply.raw, 200, reply.headers, "application/json")
    if stream and reply.lines is not None:
        return Response(_joined(reply.lines), 200, reply.headers, "text/event-stream")
    if stream and not reply.never_stream:
        return StreamingResponse(_events(reply), 200, reply.headers, "text/event-stream")
    if reply.cut_after is not None:
        return StreamingResponse(_half(reply), 200, reply.headers, "application/json")
    return JSONResponse(_completion(reply), 200, reply.headers)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _events(reply: Reply) -> AsyncIterator[str]:
    if reply.message_body is not None:
        yield _event(reply.message_body, None)
    words = reply.text.split(" ") if reply.message_body is None else []
    for number, piece in enumerate(words):
        if number == reply.cut_after:
            raise ConnectionCutError
        if reply.gate is not None and number == reply.gate_after:
            await reply.gate.wait()
        await asyncio.sleep(reply.word_delay)
        yield _event({"content": piece if number == 0 else f" {piece}"}, None)
    if reply.finish:
        yield _event({}, reply.finish_reason)
        if reply.usage is not None:
            counts = _envelope("chat.completion.chunk") | {"usage": _usage(reply.usage)}
            yield f"data: {json.dumps(counts)}\n\n"
        yield "data: [DONE]\n\n"


async def _half(reply: Reply) -> AsyncIterator[str]:
    body = json.dumps(_completion(reply))
    yield body[: len(body) // 2]
    raise ConnectionCutError


def _event(delta: dict[str, Any], finish_reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return f"data: {json.dumps(_envelope('chat.completion.chunk', choice))}\n\n"


def _joined(lines: Sequence[str | bytes]) -> bytes:
    return b"".join((line.encode() if isinstance(line, str) else line) + b"\n\n" for line in lines)


def _completion(reply: Reply) -> dict[str, Any]:
    said = {"content": reply.text} if reply.message_body is None else reply.message_body
    message = {"role": "assistant", **said}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    usage = _usage(reply.usage or (1, 1, 0))
    return {**_envelope("chat.completion", choice), "usage": usage}


def _usage(counts: tuple[int, int, int]) -> dict[str, Any]:
    asked, said, cached = counts
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _envelope(kind: str, *choices: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-test",
        "object": kind,
        "created": 1_700_000_000,
        "model": "test-model",
        "choices": list(choices),
    }
