"""What compatible servers leave out of an answer, or put in, that the SDKs are not ready for."""

import json
import re
from typing import Any

from app.invokers.invoker import Usage

# A choice that nobody asked for: SDKs take the pieces of all of them for one text.
_OTHER_CHOICE = re.compile(rb'"index"\s*:\s*[1-9]')
_COUNTED_EVENTS = frozenset({"message_start", "message_delta"})
_USAGE = {"input_tokens": 0, "output_tokens": 0}


def repaired_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """A whole answer with all that its SDK insists on, and one choice."""
    if "choices" not in answer:
        return _message(answer)
    choices = answer["choices"]
    if not isinstance(choices, list) or not choices:
        return answer
    whole = {"id": "", "object": "chat.completion", "created": 0, "model": ""} | answer
    return whole | {"choices": [_choice(choices[0])]}


def repaired_event(data: bytes) -> bytes:
    """The data of one event of a stream, likewise; as it is where nothing is amiss."""
    if b'"choices"' in data:
        return _first_choice(data) if _OTHER_CHOICE.search(data) else data
    if b'"message_' not in data or b'"usage"' in data:
        return data
    event = _parsed(data)
    if event.get("type") not in _COUNTED_EVENTS:
        return data
    message = event.get("message")
    counted = message if isinstance(message, dict) else event
    counted["usage"] = _USAGE
    return json.dumps(event).encode()


def usage_of(answer: dict[str, Any]) -> Usage:
    """What a whole answer says that it took, in the words of either provider."""
    match answer.get("usage"):
        case {"prompt_tokens": int(asked), "completion_tokens": int(said), **others}:
            details = others.get("prompt_tokens_details")
            return Usage.counted(asked, said, _count(details, "cached_tokens"))
        case {"input_tokens": int(asked), "output_tokens": int(said), **others}:
            cached = _count(others, "cache_read_input_tokens")
            written = _count(others, "cache_creation_input_tokens")
            return Usage.counted(asked + cached + written, said, cached)
        case _:
            return Usage()


def _count(counts: Any, name: str) -> int:
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if isinstance(count, int) else 0


def _first_choice(data: bytes) -> bytes:
    event = _parsed(data)
    choices = event.get("choices")
    if not isinstance(choices, list):
        return data
    first = [c for c in choices if not isinstance(c, dict) or not c.get("index")]
    return json.dumps(event | {"choices": first}).encode()


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message")
    if isinstance(message, dict):
        whole: dict[str, Any] = {"role": "assistant", "content": None}
        message = whole | message
        if isinstance(calls := message.get("tool_calls"), list):
            message["tool_calls"] = [_call(call, number) for number, call in enumerate(calls)]
    # SDKs take none for what "" means.
    finish = choice.get("finish_reason") or None
    return {"index": 0} | choice | {"message": message, "finish_reason": finish}


def _call(call: Any, number: int) -> Any:
    if not isinstance(call, dict):
        return call
    type_, id_ = call.get("type") or "function", call.get("id") or f"call_{number}"
    return call | {"type": type_, "id": id_}


def _message(answer: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"id": "", "type": "message", "role": "assistant", "model": ""}
    whole |= {"stop_reason": None, "stop_sequence": None}
    return whole | answer | {"usage": answer.get("usage") or _USAGE}


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
