"""An MCP server of the official package, over HTTP, in the event loop of the test."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvicorn
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from tests.support.local_server import _QuietServer

Handler = Callable[[CallToolRequestParams], Awaitable[CallToolResult]]
OBJECT = {"type": "object", "properties": {}}


class McpServer:
    """Serves tools while the block lasts; keeps calls, and the headers of each request.

    Attributes:
        sent: how often each tool was asked for, be it refused or not.
        refuse: the status of all answers.
        refuse_first_calls: the status of the first answer of each tool.
    """

    def __init__(self, *tools: Tool, handle: Handler | None = None, pages: int = 1) -> None:
        self.tools = list(tools)
        self.calls: list[CallToolRequestParams] = []
        self.headers: list[dict[str, str]] = []
        self.refuse: int | None = None
        self.refuse_first_calls: int | None = None
        self.sent: Counter[str] = Counter()
        self._handle = handle or _echo
        self._pages = pages
        self._socket = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def __aenter__(self) -> Self:
        server: Server[Any] = Server("test", on_list_tools=self._list, on_call_tool=self._call)
        app = server.streamable_http_app()

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.headers.append(headers)
            refusal = self.refuse
            if headers.get("mcp-method") == "tools/call":
                self.sent[headers["mcp-name"]] += 1
                if self.sent[headers["mcp-name"]] == 1:
                    refusal = self.refuse_first_calls
            if refusal is not None:
                await send({"type": "http.response.start", "status": refusal, "headers": []})
                await send({"type": "http.response.body", "body": b"no: library words"})
                return None
            return await app(scope, receive, send)

        config = uvicorn.Config(
            watched, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1
        )
        self._server = _QuietServer(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task
        self._socket.close()

    def hang_up(self) -> None:
        """Break off all connections."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]

    async def _list(self, _ctx: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        page = int(params.cursor) if params and params.cursor else 0
        size = -(-len(self.tools) // self._pages) or 1
        following = str(page + 1) if page + 1 < self._pages else None
        tools = self.tools[page * size : (page + 1) * size]
        return ListToolsResult(tools=tools, next_cursor=following)

    async def _call(self, _ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        self.calls.append(params)
        return await self._handle(params)


def tool(name: str, schema: dict[str, Any] | None = None, **fields: Any) -> Tool:
    return Tool(name=name, input_schema=OBJECT if schema is None else schema, **fields)


def text(*texts: str, **fields: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=one) for one in texts], **fields)


async def _echo(params: CallToolRequestParams) -> CallToolResult:
    return text(f"{params.name}: {params.arguments}")
