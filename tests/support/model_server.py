"""A local model that says the same in OpenAI's shape and in Anthropic's, streamed or whole."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.support.local_server import LocalServer
from tests.support.openai_server import ConnectionCutError

Shape = Literal["openai", "anthropic"]
SHAPES: tuple[Shape, ...] = ("openai", "anthropic")

# OpenAI's finish reasons in Anthropic's words; any other goes out as it is.
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


@dataclass(frozen=True)
class Said:
    """What the model answers to every request.

    Attributes:
        text: the answer, in pieces when it is streamed; None for a message without text.
        finish: in OpenAI's words; None and "" as some servers have it.
        reasoning: goes before the text, in a part of its own.
        calls: whether it calls a tool behind the text.
        tool: which one.
        usage: whether it counts tokens.
        breaks: whether the connection is reset before the end.
        raw: the body, in place of all that, as this content type.
    """

    text: tuple[str, ...] | None = ("Hello ", "there.")
    finish: str | None = "stop"
    reasoning: str = ""
    calls: bool = False
    tool: str = "f"
    usage: bool = True
    breaks: bool = False
    raw: str | bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class ModelServer(LocalServer):
    """Serves one model to both kinds of clients.

    Attributes:
        answers: what it says, by the user's last words.
        requests: how often it was asked, likewise.
        bodies: what it was sent, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Said] = {}
        self.requests: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        super().__init__(
            Route("/openai/chat/completions", self._answer, methods=["POST"]),
            Route("/anthropic/v1/messages", self._answer, methods=["POST"]),
        )

    def base_url(self, shape: Shape) -> str:
        """What a client of that shape is given."""
        return f"{self.url}/{shape}"

    async def _answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.bodies.append(body)
        asked = _last_text(body)
        self.requests[asked] += 1
        said = self.answers[asked]
        shape: Shape = "openai" if request.url.path.startswith("/openai") else "anthropic"
        streamed = body.get("stream") is True
        if said.raw is not None:
            return Response(said.raw, 200, said.headers, said.content_type)
        if streamed:
            events = _openai_events(said) if shape == "openai" else _anthropic_events(said)
            body, media_type = _streamed(events, said), "text/event-stream"
        else:
            body, media_type = _whole(shape, said), "application/json"
        return StreamingResponse(body, 200, media_type=media_type)


def _last_text(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    last = content[-1]
    while "text" not in last and isinstance(last["content"], list):  # a result of a tool
        last = last["content"][-1]
    return str(last.get("text") or last["content"])


async def _streamed(events: Iterator[str], said: Said) -> AsyncIterator[str]:
    written = list(events)
    for event in written[:-2] if said.breaks else written:
        yield event
    if said.breaks:
        raise ConnectionCutError


async def _whole(shape: Shape, said: Said) -> AsyncIterator[str]:
    body = json.dumps(_completion(said) if shape == "openai" else _message(said))
    yield body[: len(body) // 2] if said.breaks else body
    if said.breaks:
        raise ConnectionCutError


def _completion(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _joined(said.text)}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.calls:
        message["tool_calls"] = [_call(said)]
    choice = {"index": 0, "message": message, "finish_reason": said.finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return _openai("chat.completion", choice) | ({"usage": usage} if said.usage else {})


def _openai_events(said: Said) -> Iterator[str]:
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    if said.reasoning:
        deltas.append({"reasoning_content": said.reasoning})
    deltas += [{"content": piece} for piece in said.text or ()]
    if said.calls:
        deltas.append({"tool_calls": [{"index": 0, **_call(said)}]})
    for delta in deltas:
        yield _openai_event(delta)
    yield _openai_event({}, said.finish)
    yield "data: [DONE]\n\n"


def _call(said: Said) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": said.tool, "arguments": "{}"}}


def _openai_event(delta: dict[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps(_openai('chat.completion.chunk', choice))}\n\n"


def _openai(kind: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c", "object": kind, "created": 1, "model": "m", "choices": [choice]}


def _message(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if said.reasoning:
        content.append({"type": "thinking", "thinking": said.reasoning, "signature": "s"})
    if said.text is not None:
        content.append({"type": "text", "text": _joined(said.text)})
    if said.calls:
        content.append({"type": "tool_use", "id": "c1", "name": said.tool, "input": {}})
    return _anthropic(said, content, _stop_reason(said))


def _anthropic_events(said: Said) -> Iterator[str]:
    yield _event("message_start", message=_anthropic(said, [], None))
    for index, (block, deltas) in enumerate(_anthropic_blocks(said)):
        yield _event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": _stop_reason(said), "stop_sequence": None}
    usage = {"usage": {"output_tokens": 2}} if said.usage else {}
    yield _event("message_delta", delta=delta, **usage)
    yield _event("message_stop")


def _anthropic_blocks(said: Said) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if said.reasoning:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield (
            block,
            [
                {"type": "thinking_delta", "thinking": said.reasoning},
                {"type": "signature_delta", "signature": "s"},
            ],
        )
    if said.text is not None:
        pieces = [{"type": "text_delta", "text": piece} for piece in said.text]
        yield {"type": "text", "text": ""}, pieces
    if said.calls:
        yield {"type": "tool_use", "id": "c1", "name": said.tool, "input": {}}, []


def _anthropic(said: Said, content: list[Any], stop_reason: str | None) -> dict[str, Any]:
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1}} if said.usage else {}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        **usage,
    }


def _event(kind: str, **members: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"


def _stop_reason(said: Said) -> str | None:
    return said.finish and _STOP_REASONS.get(said.finish, said.finish)


def _joined(pieces: tuple[str, ...] | None) -> str | None:
    return None if pieces is None else "".join(pieces)
