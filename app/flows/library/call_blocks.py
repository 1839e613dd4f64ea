"""Blocks of messages: calls of tools, and their results."""

from typing import Any

from app.invokers.invoker import ToolCall
from app.invokers.tool import ToolResult, ToolStatus, fitted
from app.wire.messages import ResultStatus


def use_block(call: ToolCall, *, refused: bool) -> dict[str, Any]:
    """A call as it stands in the answer; one that was refused is not the client's to make."""
    return {
        "content_type": "tool_use",
        "tool_name": call.name,
        "tool_use_id": call.id,
        "input": call.arguments,
        "raw_request": None,
        "answered_by_server": refused,
    }


def result_block(
    name: str, result: ToolResult, calls: int, changed: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A result as it stands behind an answer with so many calls.

    Args:
        name: of the tool.
        result: what the call gave back.
        calls: how many the answer has.
        changed: the arguments of the call, where they are not the model's own.
    """
    result = fitted(result, calls)
    # Of an unknown outcome the wire knows only that it is no success.
    unknown = result.status is ToolStatus.UNKNOWN
    return {
        "content_type": "tool_result",
        "tool_name": name,
        "tool_use_id": result.tool_use_id,
        "runtime_ms": result.runtime_ms,
        "status": ResultStatus.ERROR if unknown else result.status,
        "payload": result.payload,
        # What the published client's events read the output from.
        "raw_response": result.payload if isinstance(result.payload, dict) else None,
        **({} if changed is None else {"arguments": changed}),
    }
