"""What compatible servers leave out of an answer, or put in, that the SDKs are not ready for."""

import json
import re
from math import isfinite
from typing import Any

from app.invokers.invoker import Usage

# A choice that nobody asked for: SDKs take the pieces of all of them for one text.
_OTHER_CHOICE = re.compile(rb'"index"\s*:\s*[1-9]')
_COUNTED_EVENTS = frozenset({"message_start", "message_delta"})
_USAGE = {"input_tokens": 0, "output_tokens": 0}
_MESSAGE_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def repaired_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """A whole answer with all that its SDK insists on, and one choice."""
    if "choices" not in answer:
        return _message(answer)
    choices = answer["choices"]
    if not isinstance(choices, list) or not choices:
        return answer
    whole = {"id": "", "object": "chat.completion", "created": 0, "model": ""} | answer
    usage = _completion_usage(answer) if answer.get("usage") else None
    return whole | {"choices": [_choice(choices[0])], "usage": usage}


def repaired_event(data: bytes) -> bytes:
    """The data of one event of a stream, likewise; as it is where nothing is amiss."""
    if b'"choices"' in data:
        data = _first_choice(data) if _OTHER_CHOICE.search(data) else data
        return _readable_calls(data) if b'"tool_calls"' in data else data
    if b'"message_' not in data or b'"usage"' in data:
        return data
    event = _parse(data)
    if event.get("type") not in _COUNTED_EVENTS:
        return data
    message = event.get("message")
    counted = message if isinstance(message, dict) else event
    counted["usage"] = _USAGE
    return json.dumps(event).encode()


def usage_of(answer: dict[str, Any]) -> Usage:
    """What a whole answer says that it took, in the words of either provider."""
    counts = answer.get("usage")
    if not isinstance(counts, dict):
        return Usage()
    if "prompt_tokens" in counts:
        cached = _count(counts.get("prompt_tokens_details"), "cached_tokens")
        asked, said = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
        return Usage.counted(asked, said, cached)
    own = {name: _count(counts, name) for name in _MESSAGE_COUNTS}
    said, cached = own.pop("output_tokens"), own["cache_read_input_tokens"]
    return Usage.counted(sum(own.values()), said, cached)


def _completion_usage(answer: dict[str, Any]) -> dict[str, Any]:
    """The counts of a completion, as far as they are some."""
    usage = usage_of(answer)
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _count(counts: Any, name: str) -> int:
    count = counts.get(name) if isinstance(counts, dict) else None
    return max(0, int(count)) if isinstance(count, int | float) and isfinite(count) else 0


def _first_choice(data: bytes) -> bytes:
    event = _parse(data)
    choices = event.get("choices")
    if not isinstance(choices, list):
        return data
    first = [c for c in choices if not isinstance(c, dict) or not c.get("index")]
    return json.dumps(event | {"choices": first}).encode()


def _readable_calls(data: bytes) -> bytes:
    event = _parse(data)
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict) and (calls := delta.get("tool_calls")) is not None:
            listed = calls if isinstance(calls, list) else []
            delta["tool_calls"] = [_piece(call) for call in listed]
    return json.dumps(event).encode()


def _piece(call: Any) -> dict[str, Any]:
    """A piece of a call in a stream; what of it cannot be read is not there."""
    given = call if isinstance(call, dict) else {}
    function = given.get("function")
    asked = function if isinstance(function, dict) else {}
    name, arguments, id_ = asked.get("name"), asked.get("arguments"), given.get("id")
    index = given.get("index")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return {
        "index": index if isinstance(index, int) else None,
        "id": id_ if isinstance(id_, str) else None,
        "type": "function",
        "function": {"name": name if isinstance(name, str) else None, "arguments": arguments},
    }


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    message = choice.get("message")
    if isinstance(message, dict):
        whole: dict[str, Any] = {"role": "assistant", "content": None}
        message = whole | message
        calls = message.get("tool_calls")
        listed = calls if isinstance(calls, list) else []
        message["tool_calls"] = [_call(call, number) for number, call in enumerate(listed)] or None
        if not isinstance(message["content"], str | list):
            message["content"] = None
    # SDKs take none for what "" means.
    finish = choice.get("finish_reason") or None
    return {"index": 0} | choice | {"message": message, "finish_reason": finish}


def _call(call: Any, number: int) -> Any:
    """A call; where it does not say which tool is called, it calls one that there is not."""
    given = call if isinstance(call, dict) else {}
    function = given.get("function")
    asked = function if isinstance(function, dict) else {}
    name, arguments = asked.get("name"), asked.get("arguments")
    if not isinstance(arguments, str):  # some servers write the object itself
        arguments = "" if arguments is None else json.dumps(arguments)
    id_ = given.get("id")
    return {
        "type": "function",
        "id": id_ if isinstance(id_, str) and id_ else f"call_{number}",
        "function": {"name": name if isinstance(name, str) else "", "arguments": arguments},
    }


def _message(answer: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"id": "", "type": "message", "role": "assistant", "model": ""}
    whole |= {"stop_reason": None, "stop_sequence": None}
    counts = answer.get("usage")
    return whole | answer | {"usage": {name: _count(counts, name) for name in _MESSAGE_COUNTS}}


def _parse(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
