"""The tools that an org has declared, as a session keeps them once it names them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from app.catalog.mcp_tools import server_of, server_tools
from app.errors import BadRequestError
from app.invokers.tool import OnLargeResult, ServerTool
from app.kit.json_schema import object_schema

_TOOLS = """
SELECT kind, name, spec FROM resource
WHERE org_id = $1 AND (kind = 'Tool' AND name = ANY($2) OR kind = 'McpServer' AND name = ANY($3))"""


async def find_tools(pool: asyncpg.Pool, org_id: str, names: Sequence[str]) -> list[ServerTool]:
    """The tools of those names, as they are now: of a Tool, of an McpServer, `SERVER__TOOL`.

    Raises:
        BadRequestError: some of them are not there; each is named with its place in `tools`.
    """
    if not names:
        return []
    rows = await pool.fetch(_TOOLS, org_id, names, [server_of(name) for name in names])
    found = {(row["kind"], row["name"]): row["spec"] for row in rows}
    tools = [_named(name, found) for name in names]
    faults = [(index, one) for index, one in enumerate(tools) if isinstance(one, str)]
    if faults:
        raise BadRequestError(
            f"These tools cannot be offered: {'; '.join(fault for _, fault in faults)}.",
            errors=[{"loc": ["body", "tools", index], "msg": fault} for index, fault in faults],
        )
    return [tool for one in tools if not isinstance(one, str) for tool in one]


def _named(name: str, found: Mapping[tuple[str, str], dict[str, Any]]) -> list[ServerTool] | str:
    """The tools that a name means; a text says why there are none."""
    if (spec := found.get(("Tool", name))) is not None:
        return [_http_tool(name, spec)]
    server = server_of(name)
    if (spec := found.get(("McpServer", server))) is None:
        return f"there is no Tool {name!r}"
    tools = server_tools(server, spec)
    if name != server:
        return [tools[name]] if name in tools else f"McpServer {server!r} has no tool {name!r}"
    return list(tools.values()) or f"no tools of McpServer {server!r} are known; apply it again"


def _http_tool(name: str, spec: dict[str, Any]) -> ServerTool:
    return ServerTool(
        type="http",
        name=name,
        description=_description(spec),
        input_schema=object_schema(spec["inputSchema"]),
        effect=spec["effect"],
        idempotent=spec["idempotent"],
        approval=spec["approval"],
        approval_timeout=spec.get("approvalTimeout"),
        on_large_result=spec.get("onLargeResult", OnLargeResult.CUT),
        timeout=spec["timeout"],
        retries=spec["retries"],
        config=spec["http"],
    )


def _description(spec: dict[str, Any]) -> str:
    text: str = spec["description"]
    if (example := spec.get("example")) is None:
        return text
    return f"{text}\n\nExample of the arguments: {json.dumps(example, ensure_ascii=False)}"
