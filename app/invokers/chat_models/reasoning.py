"""What a model thought before it called tools: kept as it gave it, for its own next request.

Servers that sign or number such parts refuse the results of calls without them.
"""

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_ai.messages import ModelResponsePart, TextPart, ThinkingPart, ToolCallPart

from app.invokers.chat import ChatMessage
from app.invokers.chat_models.config import LlmConfig
from app.invokers.chat_models.tool_names import sent_name

# More characters are not kept: the model then goes on without what it thought.
_MAX_LENGTH = 1_000_000

_Part = TextPart | ThinkingPart | ToolCallPart
_PARTS = TypeAdapter(list[_Part])


class _KeptParts(BaseModel):
    """Parts of an answer as JSON, and whose they are."""

    source: str
    parts: str


def source_of(config: LlmConfig) -> str:
    """Which model reasoned: no other one is sent what it thought."""
    named = (config.provider, str(config.base_url), config.model)
    return hashlib.sha256(repr(named).encode()).hexdigest()


def kept_reasoning(response: Sequence[ModelResponsePart], source: str) -> str | None:
    """The parts of an answer that calls tools; None where the model needs none of them back."""
    parts = [part for part in response if isinstance(part, _Part)]
    if not any(isinstance(part, ThinkingPart) or part.provider_details for part in parts):
        return None
    kept = _KeptParts(source=source, parts=_PARTS.dump_json(parts).decode()).model_dump_json()
    return kept if len(kept) <= _MAX_LENGTH else None


def reasoned_parts(message: ChatMessage, source: str) -> list[ModelResponsePart] | None:
    """The parts of an answer as its model gave them, with the calls as in the dialogue.

    None where there are none, or where they are another model's.
    """
    if message.reasoning is None:
        return None
    try:
        kept = _KeptParts.model_validate_json(message.reasoning)
        parts = _PARTS.validate_json(kept.parts)
    except ValidationError:  # another release wrote it
        return None
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    if kept.source != source or len(calls) != len(message.calls):
        return None
    for part, call in zip(calls, message.calls, strict=True):
        part.tool_name, part.tool_call_id = sent_name(call.name), call.id
        part.args = call.arguments or {}
    return [*parts]
