"""What follows an answer that calls tools, and the results of its calls: pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from app.enums import MessageRole
from app.flows.machine import Said
from app.invokers.invoker import Answer, ToolCall
from app.kit.json_schema import schema_faults
from app.wire.messages import ErrorCode, ResultStatus, error_block

# More of one answer are refused.
MAX_CALLS = 128


class Tool(BaseModel):
    """A tool that the model is offered; `input_schema` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] = {}


class OpenCall(BaseModel):
    """A call that has no result yet."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(BaseModel):
    """What a call gave back."""

    tool_use_id: str
    status: ResultStatus
    payload: str | dict[str, Any] | list[Any] | None = None
    runtime_ms: int = 0


class ToolUse(BaseModel):
    """The calls of the last answer, as far as the turn has come.

    Attributes:
        open: those without a result, in the order of the answer.
        answered: whether a message with results of others stands behind the answer already.
    """

    open: list[OpenCall] = []
    answered: bool = False


class Next(StrEnum):
    """Whose turn it is."""

    USER = "user"
    MODEL = "model"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event of a turn leads to: what is said, and who is next."""

    next: Next
    tool_use: ToolUse
    said: list[Said] = field(default_factory=list)


def after_answer(answer: Answer, tools: Mapping[str, Tool], *, last: bool) -> Outcome:
    """What a model's answer leads to.

    Calls of tools that were not offered, or with arguments that do not fit, are answered here: the
    model is told what is wrong.

    Args:
        answer: the model's.
        tools: those that it was offered.
        last: whether the turn may make no further request to the model.
    """
    faults = {call.id: _fault(call, tools, number) for number, call in enumerate(answer.calls)}
    if last and answer.calls:
        faults = dict.fromkeys(faults, "The turn ended before the call was made.")
    blocks: list[dict[str, Any]] = []
    if answer.text:
        blocks.append({"content_type": "text", "text": answer.text})
    blocks += [_use_block(call, refused=faults[call.id] is not None) for call in answer.calls]
    if last and answer.calls:
        blocks.append(error_block("The turn reached its limit of requests.", ErrorCode.MAX_STEPS))
    said = [Said(MessageRole.ASSISTANT, blocks)] if blocks else []
    if not answer.calls:
        return Outcome(Next.USER, ToolUse(), said)
    waiting = ToolUse(
        open=[
            OpenCall(id=call.id, name=call.name, arguments=call.arguments or {})
            for call in answer.calls
            if faults[call.id] is None
        ]
    )
    names = {call.id: call.name for call in answer.calls}
    refused = [
        _result_block(
            names[id_],
            ToolResult.model_construct(
                tool_use_id=id_, status=ResultStatus.ERROR, payload={"error": fault}, runtime_ms=0
            ),
        )
        for id_, fault in faults.items()
        if fault is not None
    ]
    outcome = _with_results(waiting, refused, said)
    return Outcome(Next.USER, outcome.tool_use, outcome.said) if last else outcome


def after_results(tool_use: ToolUse, results: Sequence[ToolResult]) -> Outcome:
    """What results of open calls lead to. Each is of another open call."""
    names = {call.id: call.name for call in tool_use.open}
    blocks = [_result_block(names[result.tool_use_id], result) for result in results]
    done = {result.tool_use_id for result in results}
    waiting = ToolUse(
        open=[call for call in tool_use.open if call.id not in done], answered=tool_use.answered
    )
    return _with_results(waiting, blocks, [])


def after_interruption(tool_use: ToolUse, reason: str) -> Outcome:
    """What ends a turn in which calls are open: each gets a result that says why it has none."""
    results = [
        ToolResult(tool_use_id=call.id, status=ResultStatus.ERROR, payload={"error": reason})
        for call in tool_use.open
    ]
    outcome = after_results(tool_use, results)
    return Outcome(Next.USER, outcome.tool_use, outcome.said)


def _with_results(tool_use: ToolUse, blocks: list[dict[str, Any]], said: list[Said]) -> Outcome:
    """Puts results behind the answer: all of one answer stand in one message."""
    complete = not tool_use.open
    if blocks:
        said = [*said, Said(MessageRole.ROBOTO, blocks, complete, grows=tool_use.answered)]
        tool_use = ToolUse(open=tool_use.open, answered=True)
    if complete:
        return Outcome(Next.MODEL, ToolUse(), said)
    return Outcome(Next.CLIENT, tool_use, said)


def _fault(call: ToolCall, tools: Mapping[str, Tool], number: int) -> str | None:
    """Why a call is not made; None where it is."""
    if number >= MAX_CALLS:
        return f"One answer may call {MAX_CALLS} tools at the most."
    tool = tools.get(call.name)
    if tool is None:
        return f"There is no tool {call.name!r}. There are: {', '.join(tools) or 'none'}."
    if call.arguments is None:
        return "The arguments are no JSON object."
    if faults := schema_faults(tool.input_schema, call.arguments):
        return f"The arguments do not fit the tool's schema: {'; '.join(faults)}"
    return None


def _use_block(call: ToolCall, *, refused: bool) -> dict[str, Any]:
    return {
        "content_type": "tool_use",
        "tool_name": call.name,
        "tool_use_id": call.id,
        "input": call.arguments,
        "raw_request": None,
        "answered_by_server": refused,
    }


def _result_block(name: str, result: ToolResult) -> dict[str, Any]:
    return {
        "content_type": "tool_result",
        "tool_name": name,
        "tool_use_id": result.tool_use_id,
        "runtime_ms": result.runtime_ms,
        "status": result.status,
        "payload": result.payload,
        # What the published client's events read the output from.
        "raw_response": result.payload if isinstance(result.payload, dict) else None,
    }
