"""The tools that an MCP server lists, as far as they are usable."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from app.invokers.invoker import InvokerError
from app.kit.json_schema import check_schema
from app.kit.storable import clean_text, text_fault

if TYPE_CHECKING:  # slow to load
    from mcp_types import Tool

MAX_TOOLS = 128
MAX_DESCRIPTION = 20_000
MAX_NAME = 200


class ListedTool(BaseModel):
    """A tool as a server lists it.

    Attributes:
        name: the server's own.
        description: for a model to read; the server's words.
        input_schema: the JSON Schema of its arguments.
        is_read_only: whether the server says that a call changes nothing.
        fault: why it cannot be offered; its schema is left out then.
    """

    name: str
    description: str = ""
    input_schema: dict[str, Any] = Field(default_factory=dict)
    is_read_only: bool = False
    fault: str | None = None


class TooManyToolsError(InvokerError):
    """More tools than an agent can be offered."""


def read_tools(
    before: Sequence[ListedTool], page: Iterable["Tool"], wanted: frozenset[str] | None
) -> list[ListedTool]:
    """The tools of the pages before, and those of one more.

    Raises:
        TooManyToolsError: names should be chosen.
    """
    found = list(before)
    for tool in page:
        if wanted is not None and tool.name not in wanted:
            continue
        if len(found) == MAX_TOOLS:
            raise TooManyToolsError(
                f"the MCP server has more than {MAX_TOOLS} tools: name those that are wanted in "
                "allowedTools"
            )
        found.append(_listed(tool))
    return found


def _listed(tool: "Tool") -> ListedTool:
    if (fault := _fault(tool)) is not None:
        return ListedTool(name=clean_text(tool.name)[:MAX_NAME], fault=fault)
    hints = tool.annotations
    return ListedTool(
        name=tool.name,
        description=clean_text(tool.description or "")[:MAX_DESCRIPTION],
        input_schema=tool.input_schema,
        is_read_only=hints is not None and hints.read_only_hint is True,
    )


def _fault(tool: "Tool") -> str | None:
    if not tool.name or len(tool.name) > MAX_NAME or text_fault(tool.name) is not None:
        return "its name is not usable"
    try:
        check_schema(tool.input_schema)
    except ValueError as error:
        return str(error)
    return None
