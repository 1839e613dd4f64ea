"""The anthropic provider over real HTTP: the same contract as any other."""

import json

import pytest

from app.invokers.invoker import InvocationContext, InvokerError, TransientInvokerError
from app.invokers.llm import LlmInvoker
from tests.support.raw_server import raw_server, sends
from tests.support.sinks import Sink

KEY = "sk-ant-secret"
EVENTS: list[dict[str, object]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-test",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " two"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]


def stream_of(events: list[dict[str, object]]) -> bytes:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body.encode()


def error(status: int, message: str) -> bytes:
    body = json.dumps({"type": "error", "error": {"type": "some_error", "message": message}})
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 3\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def ask(response: bytes, sink: Sink | None = None) -> tuple[str, list[bytes]]:
    async with raw_server(sends(response)) as (port, requests):
        invoker = LlmInvoker.from_config(
            {
                "provider": "anthropic",
                "base_url": f"http://127.0.0.1:{port}",
                "model": "claude-test",
                "api_key": KEY,
                "egress_allow": ["127.0.0.0/8"],
            }
        )
        try:
            context = InvocationContext("stp_1", timeout=10, emit=sink or Sink())
            return (await invoker.invoke("hi", context)).text, requests
        finally:
            await invoker.close()
            assert len(requests) == 1


async def test_streams_and_passes_key_and_step_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "from-environment")
    sink = Sink()
    answer, (request,) = await ask(stream_of(EVENTS), sink)
    assert answer == "one two"
    assert sink.text == "one two"
    assert b"idempotency-key: stp_1" in request.lower()
    assert KEY.encode() in request  # the SDK chooses the header
    assert b"from-environment" not in request


@pytest.mark.parametrize("count", [3, 4, 5])
async def test_a_cut_stream_is_transient(count: int) -> None:
    with pytest.raises(TransientInvokerError):
        await ask(stream_of(EVENTS[:count]))


async def test_overload_is_transient_with_its_retry_after() -> None:
    with pytest.raises(TransientInvokerError, match="529: busy") as caught:
        await ask(error(529, "busy"))
    assert caught.value.retry_after == 3


async def test_a_refused_key_is_final_and_not_shown() -> None:
    with pytest.raises(InvokerError, match=r"401: bad key \*\*\*") as caught:
        await ask(error(401, f"bad key {KEY}"))
    assert not isinstance(caught.value, TransientInvokerError)
