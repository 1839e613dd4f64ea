"""The statechart of a manifest as the library takes it, and what it says beyond that."""

from collections.abc import Iterator
from typing import Any

from app.flows.manifest.chart_timers import timers_of
from app.flows.timers import Timer

# Of a transition: what a client reads whose event its guards refuse.
REFUSAL = "refusal"
MAX_REFUSAL_CHARS = 500
# Of a state: what is sent some time after it was entered.
TIMERS = "after"


def library_chart(statechart: dict[str, Any]) -> dict[str, Any]:
    """The statechart without what the library does not know."""
    return {**statechart, "states": _states(statechart["states"])}


def number_of_states(statechart: dict[str, Any]) -> int:
    """How many states it has, history states and those inside others too."""
    return _count(statechart["states"])


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


def timers(statechart: dict[str, Any]) -> dict[str, list[Timer]]:
    """The timers of the states that have some, by state."""
    return {
        state_id: timers_of(state[TIMERS])
        for state_id, state in _all_states(statechart["states"])
        if state.get(TIMERS)
    }


def _count(states: dict[str, Any]) -> int:
    inner = [state for state in states.values() if state]
    return len(states) + sum(
        _count(state.get("states") or {}) + len(state.get("history") or {}) for state in inner
    )


def _states(states: dict[str, Any]) -> dict[str, Any]:
    return {state_id: _state(state or {}) for state_id, state in states.items()}


def _state(state: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in state.items() if key != TIMERS}
    if state.get("transitions"):
        kept["transitions"] = [
            {key: value for key, value in transition.items() if key != REFUSAL}
            for transition in state["transitions"]
        ]
    if state.get("states"):
        kept["states"] = _states(state["states"])
    if state.get("history"):
        kept["history"] = {
            key: _history(value or {}, kept["states"]) for key, value in state["history"].items()
        }
    return kept


def _history(history: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """A history state that leads somewhere from the start: to the initial state around it."""
    if history.get("transitions"):
        return history
    initial = next(state_id for state_id, state in inner.items() if state.get("initial"))
    return {**history, "transitions": [{"target": initial}]}


def _all_states(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for state_id, state in states.items():
        yield state_id, state or {}
        yield from _all_states((state or {}).get("states") or {})


def _transitions(states: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for state_id, state in _all_states(states):
        for transition in state.get("transitions") or []:
            yield state_id, transition


def _guards(transition: dict[str, Any], key: str) -> list[str]:
    given = transition.get(key)
    return given if isinstance(given, list) else [] if given is None else [given]
