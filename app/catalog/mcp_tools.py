"""The tools of an McpServer, as agents name them and as a session keeps them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.invokers.mcp_servers.listing import ListedTool
from app.invokers.tool import Effect, ServerTool
from app.kit.schemas.json_schema import object_schema

# Between the name of a server and that of its tool.
SEPARATOR = "__"
# The member of a stored spec that holds what its server offers.
LISTED = "listed"
# Rules that a tool has under another name.
_FIELDS = {"approvalTimeout": "approval_timeout", "onLargeResult": "on_large_result"}
MAX_CHARS = 256_000  # of all descriptions and schemas of a server
_MAX_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class Offer:
    """What agents are offered of a server: `tools` as they are stored, and why others are not."""

    tools: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def server_of(name: str) -> str:
    """The McpServer that a name of tools means, be it all of its tools or one."""
    return name.partition(SEPARATOR)[0]


def offer(server: str, listed: Iterable[ListedTool]) -> Offer:
    """What of the listed tools can be offered; models take letters, digits, - and _ in a name."""
    found, left = Offer(), MAX_CHARS
    for tool in listed:
        name = f"{server}{SEPARATOR}{_NOT_IN_NAMES.sub('_', tool.name)}"
        left -= len(tool.description) + len(json.dumps(tool.input_schema))
        fault = tool.fault
        if fault is None and len(name) > _MAX_NAME:
            fault = f"its name is longer than {_MAX_NAME} characters together with the server's"
        if fault is None and any(name == one["name"] for one in found.tools):
            fault = f"{name!r} is another tool's"
        if fault is None and left < 0:
            fault = f"the tools before it have {MAX_CHARS} characters already"
        if fault is None:
            found.tools.append(_stored_tool(name, tool))
        else:
            found.left_out[tool.name] = fault
    return found


def server_tools(server: str, spec: Mapping[str, Any]) -> dict[str, ServerTool]:
    """The tools of an McpServer, as it is stored, by the names that a model calls."""
    return {
        tool["name"]: ServerTool(
            type="mcp",
            name=tool["name"],
            description=tool["description"],
            input_schema=object_schema(tool["inputSchema"]),
            timeout=spec["timeout"],
            retries=spec["retries"],
            config={"server": server, "tool": tool["tool"]},
            **_rules(spec, tool),
        )
        for tool in spec.get(LISTED, {}).get("tools", [])
        if tool["tool"] in spec.get("allowedTools", [tool["tool"]])
    }


def _stored_tool(name: str, tool: ListedTool) -> dict[str, Any]:
    return {
        "name": name,
        "tool": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "readOnly": tool.is_read_only,
    }


def _rules(spec: Mapping[str, Any], tool: Mapping[str, Any]) -> dict[str, Any]:
    """The effect and so on: the tool's own, then what a trusted server says, then the default."""
    trusted = spec["trustAnnotations"] and tool["readOnly"]
    said = {"effect": Effect.READ} if trusted else {}
    rules = {**spec["defaults"], **said, **spec["tools"].get(tool["tool"], {})}
    return {_FIELDS.get(name, name): value for name, value in rules.items()}
