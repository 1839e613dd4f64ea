"""The tools that a client runs, and the results that it gives back."""

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field

from app.kit.written_order import WrittenOrder
from app.wire.messages import ResultStatus, WireModel
from app.wire.names import JsonSchema

_INT64 = 2**63 - 1


class ClientToolSpec(WrittenOrder, WireModel):
    """A tool that the client runs when the model calls it."""

    name: str = Field(
        description="What the model calls it by.",
        pattern=r"^client_[a-z][a-z0-9_]*$",
        max_length=64,
        examples=["client_read_file"],
    )
    description: str = Field(description="What it does, for the model to read.", max_length=20_000)
    input_schema: JsonSchema = Field(
        description="The JSON Schema (2020-12) of its arguments, an object."
    )


def _unique_names(tools: list[ClientToolSpec] | None) -> list[ClientToolSpec] | None:
    names = [tool.name for tool in tools or []]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two tools are named {twice!r}")
    return tools


ClientTools: TypeAlias = Annotated[
    list[ClientToolSpec] | None, Field(max_length=128), AfterValidator(_unique_names)
]
CLIENT_TOOLS = (
    "Tools that the client runs, from here on; one replaces that of the same name. Null adds none."
)


class ClientToolResult(WireModel):
    """What a tool of the client's gave back."""

    tool_use_id: str = Field(description="The call that this answers.", max_length=100)
    tool_name: str = Field(description="The tool; that of the call counts.", max_length=200)
    runtime_ms: int = Field(
        description="How long it ran, in milliseconds.", ge=0, le=_INT64, examples=[12]
    )
    status: ResultStatus = Field(description="How it ended.")
    output: dict[str, Any] | None = Field(None, description="What it gave back, for the model.")


class SubmitToolResultsRequest(WireModel):
    """Results of calls that the client made; some of those that are open, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tool_results": [
                    {
                        "tool_use_id": "tu_01k8zq5d3v",
                        "tool_name": "client_read_file",
                        "runtime_ms": 12,
                        "status": "success",
                        "output": {"result": "Hello."},
                    }
                ]
            }
        }
    )

    tool_results: list[ClientToolResult] = Field(
        description="At most one for each call.", max_length=128
    )
    client_tools: ClientTools = Field(None, description=CLIENT_TOOLS)
