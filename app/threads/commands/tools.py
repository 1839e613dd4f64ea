"""The tools that a thread's model may call, as a command names them."""

from collections.abc import Sequence

from app.access.caller import Caller
from app.catalog.tools import find_tools
from app.errors import BadRequestError
from app.flows.library.chat import KEY
from app.invokers.tool import ServerTool
from app.sessions.runtime import Runtime
from app.wire.tools import NamedTool


async def resolve_tools(
    runtime: Runtime, caller: Caller, flow: str, tools: Sequence[NamedTool] | None
) -> list[ServerTool]:
    """The tools that a new thread names, as its model is offered them.

    Raises:
        BadRequestError: the org has not these, or the flow calls none.
    """
    check_takes_tools(flow, tools)
    return await find_tools(runtime.database.pool, runtime.catalog, caller.org_id, tools or [])


def check_takes_tools(flow: str, tools: Sequence[NamedTool] | None) -> None:
    """Raises `BadRequestError` where tools are named that no model would be offered."""
    if tools and flow != KEY:
        raise BadRequestError(
            f"Only the flow {KEY!r} calls tools, and this thread runs {flow!r}.",
            errors=[{"loc": ["body", "tools"], "msg": f"the flow {flow!r} calls no tools"}],
        )
