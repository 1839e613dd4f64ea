"""The statechart of a manifest as the library takes it, and what it says beyond that."""

from collections.abc import Iterator
from typing import Any

# Of a transition: what a client reads whose event its guards refuse.
REFUSAL = "refusal"
MAX_REFUSAL_CHARS = 500


def library_chart(statechart: dict[str, Any]) -> dict[str, Any]:
    """The statechart without what the library does not know."""
    return {**statechart, "states": _states(statechart["states"])}


def refusals(statechart: dict[str, Any]) -> dict[str | tuple[str, str, str], str]:
    """What clients read of guards that refuse: by state, events and guard, as it is written."""
    return {
        (state_id, " ".join(transition["event"].split()), guard): transition[REFUSAL]
        for state_id, transition in _transitions(statechart["states"])
        if transition.get(REFUSAL) is not None
        for guard in [
            *_guards(transition, "cond"),
            *(f"!{g}" for g in _guards(transition, "unless")),
        ]
    }


def _states(states: dict[str, Any]) -> dict[str, Any]:
    return {state_id: _state(state or {}) for state_id, state in states.items()}


def _state(state: dict[str, Any]) -> dict[str, Any]:
    kept = dict(state)
    if state.get("transitions"):
        kept["transitions"] = [
            {key: value for key, value in transition.items() if key != REFUSAL}
            for transition in state["transitions"]
        ]
    if state.get("states"):
        kept["states"] = _states(state["states"])
    return kept


def _transitions(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for state_id, state in states.items():
        for transition in (state or {}).get("transitions") or []:
            yield state_id, transition
        yield from _transitions((state or {}).get("states") or {})


def _guards(transition: dict[str, Any], key: str) -> list[str]:
    given = transition.get(key)
    return given if isinstance(given, list) else [] if given is None else [given]
