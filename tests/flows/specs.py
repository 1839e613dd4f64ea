"""Specs of flows for the tests, made small and then changed in one place."""

from copy import deepcopy
from typing import Any

INVOKERS = frozenset({"echo", "llm", "verbatim"})

_GREET: dict[str, Any] = {
    "model": {
        "user_name": {"type": ["string", "null"], "default": None},
        "age": {"type": "integer"},
        "notes": {"type": "array", "default": []},
        "profile": {"type": "object"},
        "source": {"type": "string"},
    },
    "statechart": {
        "states": {
            "intro": {
                "initial": True,
                "transitions": [{"event": "user_input", "target": "extract"}],
            },
            "extract": {
                "transitions": [
                    {
                        "event": "ai_extraction",
                        "target": "welcome",
                        "cond": "parsed_actor_input.name != 'UNDEFINED'",
                        "on": [{"assign": {"location": "user_name", "expr": "actor_input"}}],
                    },
                    {"event": "ai_extraction", "target": "intro"},
                ]
            },
            "welcome": {"final": True},
        }
    },
    "templates": {
        "intro": "What is your name?",
        "extract": {"invoke": "verbatim", "template": "{{ actor_input }}"},
        "welcome": "Welcome {{ user_name }}!",
    },
}


def greet() -> dict[str, Any]:
    """A spec with nothing wrong, whole and new at each call."""
    return deepcopy(_GREET)


def changed(path: str, value: Any) -> dict[str, Any]:
    """`greet` with the member at a path, keys with / between, set to a value."""
    spec = greet()
    *way, last = path.split("/")
    holder: Any = spec
    for key in way:
        holder = holder[int(key) if isinstance(holder, list) else key]
    holder[int(last) if isinstance(holder, list) else last] = value
    return spec


def without(path: str) -> dict[str, Any]:
    """`greet` without the member at a path."""
    spec = greet()
    *way, last = path.split("/")
    holder: Any = spec
    for key in way:
        holder = holder[key]
    del holder[last]
    return spec
