"""What an MCP server of a tenant's answers is bounded before the client's library reads it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp_types import Tool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.invokers.invoker import InvokerError
from app.invokers.mcp import open_connection
from app.invokers.mcp_servers.config import McpConfig
from app.invokers.mcp_servers.connection import McpConnection
from app.invokers.mcp_servers.json_values import JsonValues
from app.invokers.mcp_servers.listing import read_tools
from app.invokers.web.answer_heads import AnswerTooLargeError
from app.invokers.web.secret_texts import SecretMask
from tests.attacks.test_held_loop import held
from tests.support.local_server import LocalServer

_INIT = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "s", "version": "1"},
}


class Server(LocalServer):
    """Answers each request as it is told; ends each stream that a client listens to at once."""

    def __init__(self, listing: str, *, events: bool = False) -> None:
        self.heard = 0
        self._listing = listing
        self._events = events
        super().__init__(Route("/mcp", self._answer, methods=["GET", "POST", "DELETE"]))

    async def _answer(self, request: Request) -> Response:
        if request.method == "GET":
            self.heard += 1
            return Response("retry: 0\n\n", media_type="text/event-stream")
        asked = json.loads(await request.body() or b"{}")
        if "id" not in asked:
            return Response(status_code=202)
        if asked["method"] == "tools/list":
            await asyncio.sleep(0.2)  # in which the client would listen
        result = json.dumps(_INIT) if asked["method"] == "initialize" else self._listing
        if asked["method"] not in ("initialize", "tools/list"):
            text = json.dumps({"error": {"code": -32601, "message": "no"}, "id": asked["id"]})
            return Response(text[:-1] + ', "jsonrpc": "2.0"}', media_type="application/json")
        text = f'{{"jsonrpc": "2.0", "id": {asked["id"]}, "result": {result}}}'
        headers = {"mcp-session-id": "s1"}
        if self._events:
            return Response(f': "\ndata: {text}\n\n', 200, headers, "text/event-stream")
        return Response(text, 200, headers, "application/json")


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[McpConnection]:
    async with server:
        config = McpConfig(url=f"{server.url}/mcp", egress_allow=("127.0.0.0/8",))
        yield await open_connection(config)


def listing(values: int) -> str:
    schema = f'{{"x": [{"[], " * (values // 2)}[]]}}'
    return f'{{"tools": [{{"name": "t", "inputSchema": {schema}}}]}}'


@pytest.mark.parametrize("events", [False, True])
async def test_values_of_answers_are_counted_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch, events: bool
) -> None:
    """4 MB of them held the loop for 1.2 s, with 350 MB; a listing may have a hundred pages."""
    async with connected(Server(listing(900_000), events=events)) as server:
        with held(monkeypatch) as longest, pytest.raises(InvokerError, match="50,000 values"):
            await server.tools(None, 5.0)
    assert longest.seconds < 0.2


async def test_a_stream_that_ends_at_once_is_not_listened_to_again_and_again() -> None:
    """The library asked again and again, 30 times a second, for as long as a call may take."""
    server = Server('{"tools": []}')
    async with connected(server) as connection:
        assert await connection.tools(None, 5.0) == []
    assert server.heard == 0


def test_values_are_those_outside_of_texts_however_they_come() -> None:
    text = json.dumps({"a,[{": ["\\", '",[', '\\\\"', "\u2028"], "b": [[], {}, 1]}).encode()
    values = 4 + 4 + 4
    for size in (1, 2, 3, 7, 1_000):
        counter = JsonValues(values)
        for at in range(0, len(text), size):
            counter.add(text[at : at + size])
        with pytest.raises(AnswerTooLargeError):
            counter.add(b"[,")


def test_a_schema_is_bounded_before_secrets_are_looked_for_in_it() -> None:
    """In each text each way to write each secret: 30,000 texts and a hundred secrets took 10 s."""
    schema: dict[str, Any] = {"enum": [f"value {n}" for n in range(30_000)]}
    mask = SecretMask(f"secret-{n}-of-many-{n * 7919}" for n in range(100))
    began = time.thread_time()
    [found] = read_tools([], [Tool(name="t", input_schema=schema)], None, mask)
    assert time.thread_time() - began < 0.2
    assert found.fault is not None
