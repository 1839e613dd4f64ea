"""Random flows in code: hooks, guards and validators that fail, be they async or not.

Clients send `go` and `back`; `one`, `two` and `three` end invocations, as in `charts`. The code is
written as a user writes it, and loaded as a package.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from types import ModuleType

from hypothesis import strategies as st

from app.flows.code.package import load_package
from app.flows.flow import Flow

_numbers = count()

# What hooks do; some fail always, some by what is said or what the model holds.
_HOOKS = [
    "self.model.n += 1",
    "self.model.n += self.model.parsed_actor_input['n']",
    "raise ValueError('Not this.')",
    "raise SystemExit(1)",
    "self.model.n = 'many'",
    "self.record('none')",
    "self.say('assistant', actor_input)",
    "self.send('go')",
    "self.send('one')",
    "self.send('back') if self.model.n < 3 else None",
]
_GUARDS = [
    "return self.model.n < 3",
    "return self.model.parsed_actor_input['ok']",
    "return 'JSON' not in actor_input",
]
_TEMPLATES = [
    "Invoke('{{ actor_input }}', 'verbatim')",
    "[Invoke('{{ actor_input }}', 'verbatim'), Invoke('x', 'verbatim')]",
    "Parallel({'a': Invoke('x', 'verbatim'), 'b': Invoke('y', 'verbatim')})",
]
_SOURCE = """
from app.flows import Invoke, Parallel, Render, SessionMachine, SessionModel, State

class RandomMachine(SessionMachine):
    {body}
    templates = {{{templates}}}

class Random(SessionModel):
    machine = RandomMachine
    n: int = 0
"""


@dataclass
class CodeChart:
    """A flow as source.

    Attributes:
        is_async: whether some methods may be async.
        states: a line for each.
        transitions: a line for each event, and for each transition without one.
        methods: hooks, guards and validators.
        templates: of each state.
        eventless: the transitions without an event, as (from, to).
    """

    is_async: bool
    states: list[str] = field(default_factory=list)
    transitions: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    eventless: set[tuple[str, str]] = field(default_factory=set)

    @property
    def source(self) -> str:
        body = "\n    ".join([*self.states, *self.transitions, *self.methods])
        templates = ", ".join(f"'{name}': {value}" for name, value in self.templates.items())
        return _SOURCE.format(body=body, templates=templates)

    def has_circle(self) -> bool:
        """Whether transitions without events lead from a state back to it."""
        reached = set(self.eventless)
        while more := {(a, d) for a, b in reached for c, d in self.eventless if b == c} - reached:
            reached |= more
        return any(source == target for source, target in reached)


@contextmanager
def loaded(chart: CodeChart) -> Iterator[Flow]:
    """The flow, while its package can be imported.

    Raises:
        FlowPackageError: the flow is refused.
        InvalidDefinition: the library refuses it.
    """
    name = f"random_flows_{next(_numbers)}"
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = __file__  # any that can be read
    try:
        exec(compile(chart.source, f"<{name}>", "exec"), vars(module))  # noqa: S102 - our own
        yield load_package(name)["random"]
    finally:
        del sys.modules[name]


@st.composite
def code_charts(draw: st.DrawFn) -> CodeChart:
    """A flow whose states each invoke something, wait for a client, or are the end."""
    kinds = draw(_kinds)
    names = [f"s{index}" for index in range(len(kinds))]
    chart, found = (
        CodeChart(is_async=draw(st.sampled_from([True, False, True]))),
        dict[str, list[str]](),
    )
    going_on: list[tuple[str, str]] = []  # states that others can be reached from, and by what
    for name, kind in zip(names, kinds, strict=True):
        options = ["initial=True"] * (name == names[0]) + ["final=True"] * (kind == "final")
        chart.states.append(f"{name} = State({', '.join(options)})")
        invokes = kind == "invoker"
        chart.templates[name] = draw(_template) if invokes else f"Render('{name} {{{{ n }}}}')"
        events = draw(_events[kind])
        moves = [(name, event, draw(st.sampled_from(names))) for event in events]
        if going_on:
            moves.append((*draw(st.sampled_from(going_on)), name))
        for source, event, target in moves:
            chosen = ", ".join([target, *draw(_options(chart))])
            found.setdefault(event, []).append(f"{source}.to({chosen})")
        going_on += [(name, events[0])] if events else []
        if kind == "waiting" and draw(st.integers(0, 3)) == 0:
            target = draw(st.sampled_from(names[::-1]))
            chart.eventless.add((name, target))
            chart.transitions.append(f"{name}.to({target}, cond='{_add(draw, chart, _GUARDS)}')")
        for when in draw(st.sets(st.sampled_from(["on_enter", "on_exit"]))):
            _add(draw, chart, _HOOKS, f"{when}_{name}")
    chart.transitions += [f"{event} = {' | '.join(moves)}" for event, moves in found.items()]
    return chart


_first = st.sampled_from(["waiting", "waiting", "invoker"])
_others = st.lists(st.sampled_from(["waiting", "invoker", "invoker", "final"]), max_size=5)
_kinds = st.builds(lambda first, others: [first, *others], _first, _others).filter(
    lambda kinds: "waiting" in kinds
)
_template = st.sampled_from(_TEMPLATES)
_error = st.sampled_from([[], ["error"]])
_events: dict[str, st.SearchStrategy[list[str]]] = {
    "waiting": st.sampled_from([["go"], ["go", "go"], ["go", "back"]]),
    "invoker": st.builds(
        lambda event, times, error: [*[event] * times, *error],
        st.sampled_from(["one", "two", "three"]),
        st.integers(1, 2),
        _error,
    ),
    "final": st.just([]),
}


@st.composite
def _options(draw: st.DrawFn, chart: CodeChart) -> list[str]:
    """What a transition calls: a guard, a validator, an action; mostly nothing."""
    called = draw(st.sets(st.sampled_from(["cond", "validators", "on"]), max_size=1))
    bodies = {"cond": _GUARDS, "validators": _HOOKS, "on": _HOOKS}
    return [f"{option}='{_add(draw, chart, bodies[option])}'" for option in sorted(called)]


def _add(draw: st.DrawFn, chart: CodeChart, bodies: list[str], name: str | None = None) -> str:
    """Adds a method to the chart, and gives its name."""
    name = name or f"called_{len(chart.methods)}"
    body = draw(st.sampled_from(bodies))
    sends = "self.send(" in body
    if chart.is_async and (sends or draw(st.booleans())):
        body = body.replace("self.send(", "await self.send(")
        chart.methods.append(f"async def {name}(self, actor_input): {body}")
    else:
        chart.methods.append(f"def {name}(self, actor_input): {body}")
    return name
