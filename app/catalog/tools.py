"""The tools that an org has declared, as a session keeps them once it names them."""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from app.errors import BadRequestError
from app.invokers.tool import ServerTool

_TOOLS = "SELECT name, spec FROM resource WHERE org_id = $1 AND kind = 'Tool' AND name = ANY($2)"


async def find_tools(pool: asyncpg.Pool, org_id: str, names: Sequence[str]) -> list[ServerTool]:
    """The tools of those names, as they are now.

    Raises:
        BadRequestError: some of them are not there; each is named with its place in `tools`.
    """
    if not names:
        return []
    found = {row["name"]: row["spec"] for row in await pool.fetch(_TOOLS, org_id, names)}
    unknown = [(index, name) for index, name in enumerate(names) if name not in found]
    if unknown:
        raise BadRequestError(
            f"There is no Tool {', '.join(repr(name) for _, name in unknown)}.",
            errors=[
                {"loc": ["body", "tools", index], "msg": f"there is no Tool {name!r}"}
                for index, name in unknown
            ],
        )
    return [_server_tool(name, found[name]) for name in names]


def _server_tool(name: str, spec: dict[str, Any]) -> ServerTool:
    return ServerTool(
        type="http",
        name=name,
        description=_description(spec),
        # Servers of models want to be told that it is an object.
        input_schema={"type": "object", "properties": {}, **spec["inputSchema"]},
        effect=spec["effect"],
        idempotent=spec["idempotent"],
        approval=spec["approval"],
        timeout=spec["timeout"],
        retries=spec["retries"],
        config=spec["http"],
    )


def _description(spec: dict[str, Any]) -> str:
    text: str = spec["description"]
    if (example := spec.get("example")) is None:
        return text
    return f"{text}\n\nExample of the arguments: {json.dumps(example, ensure_ascii=False)}"
