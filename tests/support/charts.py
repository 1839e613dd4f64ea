"""Random statecharts as manifests declare them, flat and nested, with guards and actions that fail.

Clients send `go` and `back`; `one`, `two` and `three` end invocations, so that each invoker state
has an event of its own or shares one. Every state in which somebody is to act takes `go`.
"""

import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from app.flows.flow import Flow
from app.flows.manifest.compile import check_flow, compile_flow
from app.flows.rendering.jinja import TrustedRenderer

# What clients say and models answer: with all, some or none of what guards and actions read.
TEXTS = [
    '{"ok": true, "n": 1, "items": [1, 2]}',
    '{"ok": true}',
    '{"n": 1, "items": []}',
    "no JSON",
]

_GUARDS = [
    "parsed_actor_input.ok",
    "not parsed_actor_input.ok",
    "parsed_actor_input.n > 0",
    "n < 3",
]
_FAILING = {"assign": {"location": "n", "expr": "n + parsed_actor_input.n"}}
_COUNTING = {"assign": {"location": "n", "expr": "n + 1"}}
_CONDITIONAL = {"if": {"cond": "parsed_actor_input.ok", "then": _FAILING}}

_leaf = {"invoke": "verbatim", "template": "{{ actor_input }}"}
_map = {"map": {"over": "parsed_actor_input.items", "template": _leaf}}
_TEMPLATES: list[Any] = [
    _leaf,
    {"chain": [_leaf, _leaf]},
    {"parallel": {"a": _leaf, "b": _leaf}},
    _map,  # of nothing, it is an invocation that calls nothing
    {"chain": [_leaf, _map]},
    {"chain": [_map, _leaf]},
]


@st.composite
def manifest_flows(draw: st.DrawFn) -> Flow:
    """A flow as it comes from a manifest; states may be inside one another."""
    kinds = draw(_kinds)
    names = [f"s{index}" for index in range(len(kinds))]
    nested = draw(st.integers(0, len(kinds) - 1))  # the last states are inside of one
    targets = [*names, *(["outer", "before"] if nested > 1 else [])]
    states: dict[str, Any] = {}
    for index, kind in enumerate(kinds):
        state: dict[str, Any] = {"transitions": draw(_transitions(kind, index, targets))}
        if kind == "final":
            state = {"final": True}
        if kind == "waiting":
            state["after"] = draw(_timers)
        if action := draw(st.sampled_from([None, None, _COUNTING, _FAILING, _CONDITIONAL])):
            state["enter"] = action
        states[names[index]] = state
    if nested > 1:
        inside = {name: states.pop(name) for name in names[-nested:]}
        inside[names[-nested]]["initial"] = True
        outer = draw(st.lists(_around(targets), max_size=2))
        if any(state.get("final") for state in inside.values()) and draw(st.booleans()):
            outer.append({"event": "done.state.outer", "target": draw(st.sampled_from(targets))})
        history = {"type": draw(st.sampled_from(["shallow", "deep"]))}
        states["outer"] = {
            "states": inside,
            "transitions": outer,
            "history": {"before": history},
            "after": draw(_timers),
        }
    first = draw(st.sampled_from(sorted(states)))
    states[first]["initial"] = True
    templates = {
        name: draw(st.sampled_from(_TEMPLATES)) if kind == "invoker" else f"{name}: {{{{ n }}}}"
        for name, kind in zip(names, kinds, strict=True)
    }
    spec = {
        "model": {"n": {"type": "integer", "default": 0}},
        "statechart": {"states": states},
        "templates": templates,
    }
    assume(not check_flow("random", spec, invokers=["verbatim"]).errors)
    return _compiled(spec)


def flow_of_failures() -> Flow:
    """A flow whose two invoker states send their failures to each other."""
    states = {
        "s0": [{"event": "one", "target": "s2"}, {"event": "error", "target": "s1"}],
        "s1": [{"event": "two", "target": "s2"}, {"event": "error", "target": "s0"}],
        "s2": [{"event": "go", "target": "s0"}],
    }
    charted: dict[str, Any] = {name: {"transitions": found} for name, found in states.items()}
    charted["s2"]["initial"] = True
    return _compiled(
        {
            "model": {"n": {"type": "integer", "default": 0}},
            "statechart": {"states": charted},
            "templates": {"s0": _leaf, "s1": _leaf, "s2": "s2"},
        }
    )


def _compiled(spec: dict[str, Any]) -> Flow:
    return compile_flow("random", 1, spec, TrustedRenderer(), description=json.dumps(spec))


# Sent by the service alone, and taken by some states.
_timers = st.sampled_from([{}, {}, {"1s": "late"}, {"1s": "late", "1h": "late"}])
_kinds = st.lists(
    st.sampled_from(["waiting", "invoker", "invoker", "final"]), min_size=2, max_size=6
)


@st.composite
def _transitions(
    draw: st.DrawFn, kind: str, index: int, targets: list[str]
) -> list[dict[str, Any]]:
    target, guard = st.sampled_from(targets), st.none() | st.sampled_from(_GUARDS)
    found = []
    if kind == "invoker":
        event = draw(st.sampled_from(["one", "two", "three"]))
        one = st.fixed_dictionaries({"event": st.just(event), "target": target, "cond": guard})
        found += draw(st.lists(one, min_size=1, max_size=2))
        if draw(st.booleans()):
            error = {"event": "error", "target": draw(target), "cond": draw(guard)}
            found.insert(draw(st.integers(0, len(found))), error)
    elif kind == "waiting":
        found.append({"event": "go", "target": draw(target), "cond": draw(guard)})
        found.append({"event": draw(st.sampled_from(["go", "back"])), "target": draw(target)})
        found.append({"event": "late", "target": draw(target), "cond": draw(guard)})
        if later := targets[index + 1 :]:
            target = st.sampled_from(later)
            if draw(st.integers(0, 3)) == 0:
                found.append({"target": draw(target), "cond": draw(st.sampled_from(_GUARDS))})
    for transition in found:
        transition["on"] = draw(st.sampled_from([None, _COUNTING, _FAILING]))
    return [{key: value for key, value in one.items() if value is not None} for one in found]


def _around(targets: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A transition of the state around others."""
    event = st.sampled_from(["back", "error"])
    return st.fixed_dictionaries({"event": event, "target": st.sampled_from(targets)})
