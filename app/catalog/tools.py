"""The tools that an org has declared, as a session keeps them once it names them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg

from app.catalog.catalog import FlowCatalog
from app.catalog.child_tools import find_child_tools
from app.catalog.mcp_tools import server_of, server_tools
from app.errors import BadRequestError
from app.invokers.tool import OnLargeResult, ServerTool, is_reserved
from app.kit.schemas.json_schema import object_schema
from app.wire.tools import NamedTool

_TOOLS = """
SELECT kind, name, spec FROM resource
WHERE org_id = $1 AND (kind = 'Tool' AND name = ANY($2) OR kind = 'McpServer' AND name = ANY($3))"""


async def find_tools(
    pool: asyncpg.Pool, catalog: FlowCatalog, org_id: str, tools_named: Sequence[NamedTool]
) -> list[ServerTool]:
    """Tools as they are now: of a Tool, of an McpServer, `SERVER__TOOL`, of an agent, of a flow.

    Raises:
        BadRequestError: some of them are not there, or two have one name; each is named with its
            place in `tools`.
    """
    if not tools_named:
        return []
    tools = await _find_each(pool, catalog, org_id, tools_named)
    faults = [(index, one) for index, one in enumerate(tools) if isinstance(one, str)]
    faults = faults or list(_twice(tools))
    if faults:
        raise BadRequestError(
            f"These tools cannot be offered: {'; '.join(fault for _, fault in faults)}.",
            errors=[{"loc": ["body", "tools", index], "msg": fault} for index, fault in faults],
        )
    return [tool for one in tools if not isinstance(one, str) for tool in one]


async def _find_each(
    pool: asyncpg.Pool, catalog: FlowCatalog, org_id: str, tools_named: Sequence[NamedTool]
) -> list[list[ServerTool] | str]:
    """What each one means; a text says why it cannot be offered."""
    names = [one for one in tools_named if isinstance(one, str)]
    declared = [one for one in tools_named if not isinstance(one, str)]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if names:
        rows = await pool.fetch(_TOOLS, org_id, names, [server_of(name) for name in names])
        found = {(row["kind"], row["name"]): row["spec"] for row in rows}
    children = iter(await find_child_tools(pool, catalog, org_id, declared))
    tools: list[list[ServerTool] | str] = []
    for one in tools_named:
        if isinstance(one, str):
            tools.append(_find_named(one, found))
        else:
            child = next(children)
            tools.append(child if isinstance(child, str) else [child])
    return tools


def _twice(tools: Iterable[list[ServerTool] | str]) -> Iterator[tuple[int, str]]:
    """Names that the service has itself, or that are there already."""
    seen: set[str] = set()
    for index, one in enumerate(tools):
        for tool in one if isinstance(one, list) else []:
            if is_reserved(tool.name):
                yield index, f"the service has a tool {tool.name!r}"
            elif tool.name in seen:
                yield index, f"two tools are named {tool.name!r}"
            seen.add(tool.name)


def _find_named(
    name: str, found: Mapping[tuple[str, str], dict[str, Any]]
) -> list[ServerTool] | str:
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
