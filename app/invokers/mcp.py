"""The invoker `mcp`: calls a tool of an MCP server."""

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Self

from typing_extensions import override

from app.invokers.config import read_config
from app.invokers.invoker import InvocationContext, InvokerError
from app.invokers.mcp_servers.config import McpConfig
from app.invokers.tool import ServerTool, ToolInvoker
from app.invokers.web.egress import parse_networks

if TYPE_CHECKING:
    from app.invokers.mcp_servers.connection import McpConnection


class McpInvoker(ToolInvoker):
    """One call for each step, with the step's id in `_meta`."""

    name: ClassVar[str | None] = "mcp"

    def __init__(self, config: McpConfig) -> None:
        self._config = config
        self._connection: McpConnection | None = None

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        parsed = read_config(McpConfig, config)
        parse_networks(parsed.egress_allow)
        return cls(parsed)

    @override
    async def prepare(self) -> None:
        await self._connected()

    @override
    async def invoke(self, content: str, context: InvocationContext) -> str:
        raise InvokerError("An MCP server runs tools, and takes no text.")

    @override
    async def call(
        self, tool: ServerTool, arguments: dict[str, Any], context: InvocationContext
    ) -> str | dict[str, Any] | list[Any] | None:
        connection = await self._connected()
        return await connection.call(tool, arguments, context)

    async def _connected(self) -> "McpConnection":
        if self._connection is None:
            self._connection = await open_connection(self._config)
        return self._connection


async def open_connection(config: McpConfig) -> "McpConnection":
    """The connection to a server; the first in a process loads the client, in a thread."""
    return await asyncio.to_thread(_open, config)


def _open(config: McpConfig) -> "McpConnection":
    from app.invokers.mcp_servers.connection import (  # noqa: PLC0415 - slow, and few need it
        McpConnection,
    )

    return McpConnection(config)
