"""Chats and tools in pydantic-ai's words."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from app.invokers.chat import ChatMessage, ChatTool, ToolOutput, alternating
from app.invokers.chat_models.reasoning import reasoned_parts
from app.invokers.chat_models.tool_names import sent_name


def to_model_messages(chat: list[ChatMessage], source: str) -> list[ModelMessage]:
    """The chat: what comes before an answer is one request.

    Args:
        chat: the messages.
        source: the model that is asked, as `source_of` names it.
    """
    messages: list[ModelMessage] = []
    request: list[ModelRequestPart] = []
    for message in alternating(chat):
        if message.role == "assistant":
            if request:
                messages.append(ModelRequest(parts=request))
            parts = reasoned_parts(message, source) or _response_parts(message)
            messages.append(ModelResponse(parts=parts))
            request = []
        else:
            request += _request_parts(message)
    return [*messages, ModelRequest(parts=request)] if request else messages


def to_request_parameters(tools: Sequence[ChatTool]) -> ModelRequestParameters:
    """The tools that a request offers."""
    # `strict=False`: the schemas are not ours, and are to reach the model as they are.
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=tool.input_schema,
                strict=False,
            )
            for tool in tools
        ]
    )


def text_added(event: ModelResponseStreamEvent) -> str:
    """The text that an event adds to the answer; thinking is not part of it."""
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _request_parts(message: ChatMessage) -> Iterable[ModelRequestPart]:
    # Outputs first: servers want them directly behind the calls.
    for output in message.outputs:
        call = output.call
        yield ToolReturnPart(
            sent_name(call.name),
            _told(output),
            call.id,
            outcome="failed" if output.failed else "success",
        )
    if message.role == "system":
        yield SystemPromptPart(message.content)
    elif message.content or not message.outputs:
        yield UserPromptPart(message.content)


def _told(output: ToolOutput) -> Any:
    """What an output says; of a failure its text: that it is one is said beside it."""
    match output.payload:
        case {"error": str(text), **others} if output.failed and not others:
            return text
        case payload:
            return payload


def _response_parts(message: ChatMessage) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = []
    if message.content or not message.calls:
        parts.append(TextPart(message.content))
    parts += [
        ToolCallPart(sent_name(call.name), call.arguments or {}, call.id) for call in message.calls
    ]
    return parts
