"""The reference of a spec to a tool that it names or declares."""

from typing import Any

from app.catalog.mcp_tools import server_of
from app.errors import Loc
from app.manifests.model.reference import Reference


def tool_reference(tool: str | dict[str, Any], path: Loc) -> Reference:
    """The resource that a tool of `tools` stands for: a name, or an agent or a flow."""
    if isinstance(tool, str):
        return Reference("Tool", tool, path, or_else=(("McpServer", server_of(tool)),))
    kind = {"agent": "Agent", "flow": "Flow"}[tool["type"]]
    return Reference(kind, tool[tool["type"]], (*path, tool["type"]))
