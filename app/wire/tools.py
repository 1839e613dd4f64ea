"""The tools that a thread or an agent names, and those that it declares: agents and flows."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from typing_extensions import TypeAliasType

from app.kit.written_order import WrittenOrder
from app.wire.messages import WireModel
from app.wire.names import FLOW_KEY_PATTERN, JsonSchema, Name

_YEAR_SECONDS = 366 * 24 * 3600

ToolName: TypeAlias = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]


class CallApproval(WrittenOrder, WireModel):
    """Which calls need an approval."""

    when: str = Field(
        description="An expression over the arguments, by name.", min_length=1, max_length=10_000
    )


ApprovalRule = TypeAliasType("ApprovalRule", Literal["never", "always"])
ToolApproval = TypeAliasType("ToolApproval", ApprovalRule | CallApproval)


class _ChildTool(WrittenOrder, WireModel):
    """A tool whose calls start sessions."""

    name: ToolName | None = Field(
        None, description="What the model calls it by; null: by what it starts."
    )
    description: str | None = Field(
        None, description="What it does, for the model to read.", max_length=20_000
    )
    approval: ToolApproval = Field(
        "never", description="Whether a person must approve each call, or some of them."
    )
    timeout: float | None = Field(
        None, description="Seconds that a call may take; null: any.", gt=0, le=_YEAR_SECONDS
    )


class AgentTool(_ChildTool):
    """An agent of the org as a tool: its variables are the arguments, its answer the result."""

    type: Literal["agent"]
    agent: Name = Field(description="Name of the agent.")


class FlowTool(_ChildTool):
    """A flow of the org as a tool: a session is sent one event; what it comes to is the result."""

    type: Literal["flow"]
    flow: str = Field(description="Key of the flow.", pattern=FLOW_KEY_PATTERN)
    event: Name | None = Field(
        None, description="What it is sent; null: the first event that its first state takes."
    )
    input_schema: JsonSchema | None = Field(
        None,
        description="The JSON Schema (2020-12) of the event's input, an object. Null: a text, as"
        " argument `input`.",
    )


ChildTool: TypeAlias = AgentTool | FlowTool

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def _named_tool(value: Any, _handler: ValidatorFunctionWrapHandler) -> Any:
    """Reads a tool as what it looks like: a fault has the place that it has in the input."""
    match value:
        case str():
            return _NAME.validate_python(value)
        case {"type": "agent"}:
            return AgentTool.model_validate(value)
        case {"type": "flow"}:
            return FlowTool.model_validate(value)
        case AgentTool() | FlowTool():
            return value
        case _:
            raise ValueError("must be a name, or an object with the type agent or flow")


NamedTool = TypeAliasType("NamedTool", Annotated[Name | ChildTool, WrapValidator(_named_tool)])


def _unique_texts(tools: list[NamedTool] | None) -> list[NamedTool] | None:
    names = [tool for tool in tools or [] if isinstance(tool, str)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice!r} is named twice")
    return tools


Tools: TypeAlias = Annotated[
    list[NamedTool] | None, Field(max_length=64), AfterValidator(_unique_texts)
]
TOOLS = (
    "Tools that the service runs, from here on as they are now; one replaces that of the same name."
    " Each is the name of a Tool or an McpServer, or an agent or a flow. Null adds none."
)
