"""The tools that an MCP server lists, as far as they are usable."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from app.invokers.invoker import InvokerError
from app.invokers.web.secret_texts import SecretMask
from app.kit.invalid import InvalidValueError
from app.kit.schemas.json_schema import check_schema, check_size
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
    before: Sequence[ListedTool],
    page: Iterable["Tool"],
    names: frozenset[str] | None,
    mask: SecretMask,
) -> list[ListedTool]:
    """The tools of the pages before, and those of one more.

    Args:
        before: those that were read.
        page: as the server lists them.
        names: names of those that are looked for; None for all.
        mask: takes out the secrets that the server was sent.

    Raises:
        TooManyToolsError: names should be chosen.
    """
    found = list(before)
    for tool in page:
        if names is not None and tool.name not in names:
            continue
        if len(found) == MAX_TOOLS:
            raise TooManyToolsError(
                f"the MCP server has more than {MAX_TOOLS} tools: name those that are wanted in "
                "allowedTools"
            )
        found.append(_listed_tool(tool, mask))
    return found


def _listed_tool(tool: "Tool", mask: SecretMask) -> ListedTool:
    name, hints = mask.text(tool.name), tool.annotations
    try:
        schema = _check_schema(tool, mask)
    except InvalidValueError as fault:
        return ListedTool(name=clean_text(name)[:MAX_NAME], fault=str(fault))
    return ListedTool(
        name=name,
        description=clean_text(mask.text(tool.description or ""))[:MAX_DESCRIPTION],
        input_schema=schema,
        is_read_only=hints is not None and hints.read_only_hint is True,
    )


def _check_schema(tool: "Tool", mask: SecretMask) -> dict[str, Any]:
    """The schema of a tool, masked before an error can quote it.

    Raises:
        InvalidValueError: the tool cannot be offered.
    """
    if not tool.name or len(tool.name) > MAX_NAME or text_fault(tool.name) is not None:
        raise InvalidValueError("its name is not usable")
    check_size(tool.input_schema)  # each text in it costs, to be masked
    schema: dict[str, Any] = mask.value(tool.input_schema)
    check_schema(schema)
    return schema
