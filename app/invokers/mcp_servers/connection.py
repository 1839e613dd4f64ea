"""Calls of one MCP server through the official client, each in a session of its own.

Importing this takes seconds, so it is loaded when a server is first called.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp.client.client import Client
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
)
from pydantic import TypeAdapter

from app.invokers.invoker import (
    FailureKind,
    InvocationContext,
    InvokerError,
    TransientInvokerError,
)
from app.invokers.mcp_servers.config import McpConfig
from app.invokers.mcp_servers.content import content_text
from app.invokers.mcp_servers.listing import ListedTool, TooManyToolsError, read_tools
from app.invokers.mcp_servers.wire import Wire
from app.invokers.tool import ServerTool, tool_payload
from app.invokers.web.http_client import guarded_client
from app.invokers.web.secret_texts import SecretMask
from app.kit.concurrency.off_loop import LIGHT_BYTES, off_loop
from app.kit.storable import clean_text

KEY = "statewright/idempotency-key"
_CONNECT_SECONDS = 10.0
_MAX_BYTES = 4_000_000  # of one answer; a tool's pictures, of which a note is kept, are part of it
_MAX_ERROR = 4_000  # characters, for a model to mend its call by
_MAX_PAGES = 100
# The client reports with these also what no server said.
_CLIENTS_OWN = frozenset(
    {CONNECTION_CLOSED, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR}
)
_LOST = frozenset({CONNECTION_CLOSED, INVALID_REQUEST, PARSE_ERROR})
_RESULT: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(
    InputRequiredResult | CallToolResult
)

_OURSELVES = Implementation(name="statewright", version="1")

# Its tracebacks hold what servers answer.
logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)


class McpConnection:
    """A server. Nothing is kept between calls: a server's session may end at any time."""

    def __init__(self, config: McpConfig) -> None:
        self._config = config
        self._answers = SecretMask(config.secrets())
        self._errors = SecretMask.of_errors(config.secrets())

    async def call(
        self, tool: ServerTool, arguments: dict[str, Any], context: InvocationContext
    ) -> str | dict[str, Any] | list[Any] | None:
        """Makes one call; see `ToolInvoker.call`."""
        async with self._session(context.timeout) as session:
            request = CallToolRequest(
                params=CallToolRequestParams(
                    name=tool.config["tool"],
                    arguments=arguments,
                    _meta={KEY: context.step_id, **_about(context.about)},
                )
            )
            result = await session.send_request(request, _RESULT)
        if isinstance(result, InputRequiredResult):
            raise InvokerError("the tool asks for more than its arguments, which is not supported")
        text = content_text(result.content, result.structured_content, self._answers)
        if result.is_error:
            raise InvokerError(f"the tool failed: {self._error_text(text)}")
        masked = await off_loop(lambda: self._answers.text(text), heavy=len(text) > LIGHT_BYTES)
        return tool_payload(masked, tool.on_large_result)

    async def tools(self, names: frozenset[str] | None, seconds: float) -> list[ListedTool]:
        """The tools that the server offers.

        Args:
            names: names of those that are looked for; None for all.
            seconds: that it may take.

        Raises:
            InvokerError: the server cannot be asked, or offers too many.
        """
        try:
            async with asyncio.timeout(seconds), self._session(seconds) as session:
                return await self._list(session, names)
        except TimeoutError:
            raise TransientInvokerError(
                f"the MCP server did not answer within {seconds:g} seconds",
                kind=FailureKind.TIMEOUT,
            ) from None

    async def _list(self, session: ClientSession, names: frozenset[str] | None) -> list[ListedTool]:
        found: list[ListedTool] = []
        params: PaginatedRequestParams | None = None
        for _ in range(_MAX_PAGES):
            page = await session.send_request(ListToolsRequest(params=params), ListToolsResult)
            found = read_tools(found, page.tools, names, self._answers)
            if page.next_cursor is None:
                return found
            params = PaginatedRequestParams(cursor=page.next_cursor)
        raise TooManyToolsError(f"the MCP server's list has more than {_MAX_PAGES} pages")

    @asynccontextmanager
    async def _session(self, seconds: float) -> AsyncIterator[ClientSession]:
        """A session; whatever fails in it is an error of the invoker contract."""
        wires: list[Wire] = []

        def watched(transport: Any) -> Wire:
            wires.append(Wire(transport))
            return wires[0]

        http = guarded_client(
            self._config.egress_allow, max_bytes=_MAX_BYTES, max_seconds=seconds, wrap=watched
        )
        http.headers.update(self._config.request_headers())
        async with http:
            try:
                async with self._connected(http, seconds) as session:
                    yield session
            except Exception as error:  # noqa: BLE001 - a library's; what it was, the wire says
                raise self._error(error, wires[0]) from None

    @asynccontextmanager
    async def _connected(self, http: Any, seconds: float) -> AsyncIterator[ClientSession]:
        """The client, once both sides have said which protocol they speak."""
        transport = streamable_http_client(
            self._config.url, http_client=http, max_sse_event_size=_MAX_BYTES
        )
        client = Client(transport, cache=None, client_info=_OURSELVES)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(min(seconds / 2, _CONNECT_SECONDS)):
                    await stack.enter_async_context(client)
            except TimeoutError:
                raise TransientInvokerError(
                    "the MCP server did not answer in time", kind=FailureKind.TIMEOUT
                ) from None
            yield client.session

    def _error(self, error: Exception, wire: Wire) -> InvokerError:
        found = sorted(_leaves(error), key=lambda one: not isinstance(one, InvokerError))
        error = found[0]
        if isinstance(error, InvokerError):
            return error
        if isinstance(error, MCPError) and error.code not in _CLIENTS_OWN:
            said = self._error_text(error.message)
            return InvokerError(f"the MCP server refused the call: {said}")
        if (failure := wire.error()) is not None:
            return failure
        if isinstance(error, MCPError) and error.code not in _LOST:
            return InvokerError(f"the MCP server answered with the error {error.code}")
        return wire.unreadable()

    def _error_text(self, text: str) -> str:
        return clean_text(self._errors.text(text))[:_MAX_ERROR]


def _about(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a session is about, as a server reads it beside the arguments of a call."""
    return {f"statewright/{name.replace('_', '-')}": value for name, value in about.items()}


def _leaves(error: Exception) -> list[Exception]:
    """The errors of a group, as the client's tasks raise them."""
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in _leaves(one)]
