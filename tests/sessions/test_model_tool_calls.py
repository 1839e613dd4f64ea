"""Calls of tools as models' servers write them, and what the servers are sent of the results."""

import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.settings import Settings
from app.worker import serving
from tests.support.http_server import HttpServer
from tests.support.local_server import LocalServer
from tests.support.manifests import manifest, many, post
from tests.support.providers import load_provider
from tests.support.threads import answered, texts

Shape = Literal["openai", "anthropic"]
# The id of a call, its tool, and its arguments as the server writes them.
Call = tuple[str | None, str, str]

ONE, TWO = '{"order_id": "1"}', '{"order_id": "2"}'


class ToolModel(LocalServer):
    """Answers with calls, then in words, in the shape of the route that is asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: deque[tuple[list[Call], str]] = deque()
        super().__init__(
            Route("/v1/chat/completions", self._openai, methods=["POST"]),
            Route("/v1/messages", self._anthropic, methods=["POST"]),
        )

    async def _next(self, request: Request) -> tuple[list[Call], str, bool]:
        body = await request.json()
        self.requests.append(body)
        calls, finish = self.answers.popleft() if self.answers else ([], "stop")
        return calls, finish, bool(body.get("stream"))

    async def _openai(self, request: Request) -> Response:
        calls, finish, stream = await self._next(request)
        message: dict[str, Any] = {"role": "assistant", "content": None if calls else "Done."}
        if calls:
            message["tool_calls"] = [
                {"index": i, "type": "function", "function": {"name": name, "arguments": text}}
                | ({} if id_ is None else {"id": id_})
                for i, (id_, name, text) in enumerate(calls)
            ]
        envelope = {"id": "c", "created": 1, "model": "m"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not stream:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            kind = {"object": "chat.completion", "choices": [choice], "usage": usage}
            return JSONResponse(envelope | kind)
        return _events(
            [
                envelope
                | {"object": "chat.completion.chunk"}
                | {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
                for delta, end in ((message, None), ({}, finish))
            ]
        )

    async def _anthropic(self, request: Request) -> Response:
        calls, finish, stream = await self._next(request)
        reason = {"length": "max_tokens", "tool_calls": "tool_use"}.get(finish, "end_turn")
        blocks: list[dict[str, Any]] = [
            {"type": "tool_use", "id": id_ or "", "name": name} for id_, name, _ in calls
        ] or [{"type": "text", "text": "Done."}]
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "usage": usage}
        if not stream:
            for block, (_, _, text) in zip(blocks, calls, strict=False):
                block["input"] = json.loads(text)
            return JSONResponse(message | {"content": blocks, "stop_reason": reason})
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message | {"content": [], "stop_reason": None}}
        ]
        for i, block in enumerate(blocks):
            start = block | ({"input": {}} if calls else {"text": ""})
            delta = (
                {"type": "input_json_delta", "partial_json": calls[i][2]}
                if calls
                else {"type": "text_delta", "text": block["text"]}
            )
            events += [
                {"type": "content_block_start", "index": i, "content_block": start},
                {"type": "content_block_delta", "index": i, "delta": delta},
                {"type": "content_block_stop", "index": i},
            ]
        end = {"stop_reason": reason, "stop_sequence": None}
        events += [
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]
        return _events(events)


def _events(events: list[dict[str, Any]]) -> Response:
    lines = [f"event: {e.get('type', 'chunk')}\ndata: {json.dumps(e)}\n\n" for e in events]
    if "object" in events[0]:
        lines = [line.partition("\n")[2] for line in lines] + ["data: [DONE]\n\n"]
    return Response("".join(lines), media_type="text/event-stream")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """This machine may be reached."""
    security = settings.security.model_copy(update={"egress_allow": ["127.0.0.0/8"]})
    return settings.model_copy(update={"security": security})


@pytest.fixture
async def model(settings: Settings) -> AsyncIterator[ToolModel]:
    for shape in ("openai", "anthropic"):
        load_provider(shape)
    async with ToolModel() as model, serving(settings):
        yield model


@pytest.fixture
async def shop(client: httpx.AsyncClient, model: ToolModel) -> AsyncIterator[HttpServer]:
    """What the tools `find` and `count` reach; and a Provider of each shape and mode."""
    properties = {"properties": {"order_id": {"type": "string"}}}
    find = properties | {"required": ["order_id"]}
    async with HttpServer() as server:
        providers = [
            manifest("Provider", f"{shape}-{mode}", spec | {"stream": mode == "streamed"})
            for shape, path in (("openai", "/v1"), ("anthropic", ""))
            for spec in [{"type": shape, "baseUrl": f"{model.url}{path}", "model": "m"}]
            for mode in ("streamed", "whole")
        ]
        providers = [p | {"spec": p["spec"] | {"apiKey": "key"}} for p in providers]
        tools = [
            manifest("Tool", name, {"description": "T.", "inputSchema": schema, "http": http})
            for name, schema in (("find", find), ("count", properties))
            for http in [{"connection": "shop", "method": "GET", "path": f"/{name}"}]
        ]
        connection = {"connection": {"baseUrl": server.url}}
        key = manifest("Secret", "key", {"config": {"value": "sk-0123456789"}})
        shop = manifest("ApiConnection", "shop", connection)
        await post(client, "apply", many(key, shop, *tools, *providers))
        yield server


def pairs(request: dict[str, Any]) -> list[tuple[str, str]]:
    """(call, text of its result) of a request; each call has its result directly behind it."""
    messages, found = request["messages"], []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        if calls := message.get("tool_calls"):  # of OpenAI
            behind = messages[index + 1 : index + 1 + len(calls)]
            assert [m["role"] for m in behind] == ["tool"] * len(calls)
            assert [m["tool_call_id"] for m in behind] == [call["id"] for call in calls]
            found += [
                (call["id"], str(m["content"])) for call, m in zip(calls, behind, strict=True)
            ]
        elif isinstance(message["content"], list):
            uses = [b for b in message["content"] if b["type"] == "tool_use"]
            answers = messages[index + 1]["content"][: len(uses)]
            assert [b["tool_use_id"] for b in answers] == [b["id"] for b in uses]
            found += [(b["tool_use_id"], json.dumps(b["content"])) for b in answers]
    assert len({call for call, _ in found}) == len(found)
    return found


NOT_JSON = "no JSON object"
CASES: dict[str, tuple[list[Call], str, list[str], int]] = {
    "two at once": ([("a", "find", ONE), ("b", "find", TWO)], "tool_calls", ["fine"] * 2, 2),
    "one id twice": ([("a", "find", ONE), ("a", "find", TWO)], "tool_calls", ["fine"] * 2, 2),
    "no ids": ([(None, "find", ONE), (None, "find", TWO)], "tool_calls", ["fine"] * 2, 2),
    "no such tool": ([("a", "lose", ONE), ("b", "find", TWO)], "tool_calls", ["lose", "fine"], 1),
    "finish says stop": ([("a", "find", ONE)], "stop", ["fine"], 1),
    "wrong arguments": ([("a", "find", "{}")], "tool_calls", ["required"], 0),
    "no object": ([("a", "count", "[1]")], "tool_calls", [NOT_JSON], 0),
    "no JSON": ([("a", "count", '{"order_id": oops')], "tool_calls", [NOT_JSON], 0),
    "cut arguments": ([("a", "count", '{"order_id": "1')], "length", [NOT_JSON], 0),
    "cut before them": ([("a", "count", "")], "length", [NOT_JSON], 0),
    "none": ([("a", "count", "")], "tool_calls", ["fine"], 1),
}


@pytest.mark.parametrize("mode", ["streamed", "whole"])
@pytest.mark.parametrize("shape", ["openai", "anthropic"])
async def test_every_call_has_its_result_behind_it_however_it_was_written(
    client: httpx.AsyncClient, model: ToolModel, shop: HttpServer, shape: Shape, mode: str
) -> None:
    for name, (calls, finish, says, made) in CASES.items():
        if (shape, mode) == ("anthropic", "whole") and not all(_is_object(c[2]) for c in calls):
            continue  # what it writes there is an object
        model.answers.append((calls, finish))
        model.requests.clear()
        shop.requests.clear()
        fields = {"model_profile": f"{shape}-{mode}", "tools": ["find", "count"]}
        thread = await answered(client, name, **fields)

        assert texts(thread)[-1] == "Done.", (name, thread["messages"])
        first, second = model.requests
        assert len(first["tools"]) == 2
        found = pairs(second)
        assert len(found) == len(calls), name
        for (_, text), expected in zip(found, says, strict=True):
            assert expected in text, name
        assert len(shop.requests) == made, name


def _is_object(text: str) -> bool:
    return text.startswith("{") and text.endswith("}")


@pytest.mark.parametrize("shape", ["openai", "anthropic"])
async def test_a_model_is_sent_the_schemas_of_tools_as_they_are(
    client: httpx.AsyncClient, model: ToolModel, shop: HttpServer, shape: Shape
) -> None:
    """The SDKs' ways to rewrite them held up the worker's loop for 0.1 s."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Where",
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/At", "title": "At"}, "n": {"default": 1}},
        "$defs": {"At": {"oneOf": [{"type": "string", "format": "uri"}, {"type": "null"}]}},
    }
    tool = {"name": "client_go", "description": "Goes.", "input_schema": schema}
    await answered(client, "Go", client_tools=[tool], model_profile=f"{shape}-whole")
    (sent,) = model.requests[0]["tools"]
    assert schema == (sent["function"]["parameters"] if shape == "openai" else sent["input_schema"])
