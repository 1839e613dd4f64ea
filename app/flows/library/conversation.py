"""A thread's dialogue as a request to its model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.enums import MessageRole
from app.flows.template import Spoken
from app.invokers.chat import ChatMessage, ToolOutput
from app.invokers.invoker import ToolCall
from app.wire.messages import ResultStatus, plain_text

Block = dict[str, Any]

_INTERRUPTED = {"error": "The call was interrupted; it has no result."}


def chat_messages(
    dialogue: Sequence[Spoken],
    *,
    system_prompt: str | None,
    context: Mapping[str, Any],
    goals: str | None = None,
    reminder: str | None = None,
) -> list[ChatMessage]:
    """The dialogue as the model is sent it: behind each call stands its result.

    Args:
        dialogue: the most recent messages, oldest first.
        system_prompt: goes first.
        context: what the model is to know beside what the user says last, by name.
        goals: what the turn is to bring about; it stands before what the user says last.
        reminder: goes last.
    """
    messages = [ChatMessage("system", system_prompt)] if system_prompt else []
    messages += _spoken(dialogue)
    if context:
        messages = _with_context(messages, context)
    if goals is not None:
        messages.insert(_last_of_user(messages), ChatMessage("user", goals, notice=True))
    return [*messages, ChatMessage("user", reminder, notice=True)] if reminder else messages


def _last_of_user(messages: list[ChatMessage]) -> int:
    """The index of what the user says last; the end, where the user says nothing."""
    said = (n for n in range(len(messages) - 1, -1, -1) if messages[n].is_of_user)
    return next(said, len(messages))


def _spoken(dialogue: Sequence[Spoken]) -> Iterator[ChatMessage]:
    results = {
        block["tool_use_id"]: block
        for message in dialogue
        for block in message.content
        if block.get("content_type") == "tool_result"
    }
    for role, content, reasoning in dialogue:
        text = plain_text(content)
        if role == MessageRole.USER:
            yield ChatMessage("user", text)
        elif role == MessageRole.ASSISTANT:
            uses = [block for block in content if block.get("content_type") == "tool_use"]
            calls = tuple(
                ToolCall(use["tool_use_id"], use["tool_name"], use["input"]) for use in uses
            )
            if text or calls:
                yield ChatMessage("assistant", text, calls, reasoning=reasoning)
            if calls:
                outputs = tuple(_output(call, results.get(call.id)) for call in calls)
                yield ChatMessage("user", "", outputs=outputs)


def _output(call: ToolCall, result: Block | None) -> ToolOutput:
    if result is None:
        return ToolOutput(call, _INTERRUPTED, failed=True)
    payload = result["payload"]
    if "arguments" in result:  # else the model would take it for the result of its own
        payload = {"arguments_changed_by_a_person": result["arguments"], "result": payload}
    return ToolOutput(call, payload, failed=result["status"] != ResultStatus.SUCCESS)


def _with_context(messages: list[ChatMessage], context: Mapping[str, Any]) -> list[ChatMessage]:
    """Puts it, marked as data, before what the user said last: what stands above stays as it was.

    So a provider's cache of the conversation stays good.
    """
    # Nothing in it ends the block.
    text = json.dumps(context, ensure_ascii=False).replace("<", "\\u003c")
    note = ChatMessage("user", f"<context>\n{text}\n</context>", notice=True)
    index = _last_of_user(messages)
    return messages if index == len(messages) else [*messages[:index], note, *messages[index:]]
