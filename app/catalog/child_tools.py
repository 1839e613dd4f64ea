"""Agents and flows as tools: as an org has them now, and as a session keeps them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from app.catalog.catalog import FlowCatalog
from app.errors import NotFoundError
from app.flows.manifest.expression import ExpressionError, compile_expression
from app.invokers.tool import ServerTool
from app.kit.schemas.json_schema import object_schema
from app.wire.tools import AgentTool, CallApproval, ChildTool, FlowTool

_AGENTS = """
SELECT name, description, variables FROM agent WHERE org_id = $1 AND name = ANY($2)"""

_MAX_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


async def find_child_tools(
    pool: asyncpg.Pool, catalog: FlowCatalog, org_id: str, tools: Sequence[ChildTool]
) -> list[ServerTool | str]:
    """What a session keeps of each of them; a text says why one cannot be offered."""
    named = [tool.agent for tool in tools if isinstance(tool, AgentTool)]
    rows = await pool.fetch(_AGENTS, org_id, named) if named else []
    agents = {row["name"]: row for row in rows}
    return [
        _agent_tool(tool, agents.get(tool.agent))
        if isinstance(tool, AgentTool)
        else await _flow_tool(tool, catalog, org_id)
        for tool in tools
    ]


def variables_schema(variables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of values for an agent's variables, as they are stored."""
    properties, required = {}, []
    for variable in variables:
        name, text = variable["name"], variable.get("description")
        kind = variable.get("type", "string")
        if text is None and kind != "string":
            text = f"A {kind.replace('_', ' ')}."
        properties[name] = {"type": "string"} | ({"description": text} if text else {})
        if variable.get("default") is None:
            required.append(name)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _agent_tool(tool: AgentTool, agent: Mapping[str, Any] | None) -> ServerTool | str:
    if agent is None:
        return f"there is no agent {tool.agent!r}"
    described = agent["description"] or f"Asks the agent {tool.agent}."
    schema = variables_schema(agent["variables"])
    return _tool(tool, tool.agent, described, schema, {"agent": tool.agent})


async def _flow_tool(tool: FlowTool, catalog: FlowCatalog, org_id: str) -> ServerTool | str:
    try:
        flow = await catalog.get(org_id, tool.flow)
    except NotFoundError:
        return f"there is no flow {tool.flow!r}"
    events = flow.next_actions(await flow.initial_state())
    if tool.event is not None and tool.event not in events:
        return f"flow {tool.flow!r} takes no event {tool.event!r} first"
    schema = object_schema(_INPUT if tool.input_schema is None else tool.input_schema)
    config = {
        "flow": tool.flow,
        "event": tool.event,
        "takes_object": tool.input_schema is not None,
    }
    return _tool(tool, tool.flow, flow.description or f"Runs {tool.flow}.", schema, config)


def _tool(
    tool: ChildTool, called: str, described: str, schema: dict[str, Any], config: dict[str, Any]
) -> ServerTool | str:
    approval: Any = tool.approval
    if isinstance(approval, CallApproval):
        try:
            compile_expression(approval.when, schema.get("properties", {}))
        except ExpressionError as error:
            return f"its approval is no expression: {error}"
        approval = approval.model_dump()
    return ServerTool(
        type=tool.type,
        name=tool.name or _NOT_IN_NAMES.sub("_", called)[:_MAX_NAME],
        description=tool.description or described,
        input_schema=schema,
        approval=approval,
        config=config | {"timeout": tool.timeout},
    )
