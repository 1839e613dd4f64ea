"""Checks of a flow's statechart that its class does not make by itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from statemachine import State
from statemachine.exceptions import InvalidDefinition

from app.errors import Loc, error_line
from app.flows.findings import Findings
from app.flows.machine import ERROR_EVENT, SessionMachine, ending_event, is_library_event
from app.flows.model.session_model import BUILT_IN_FIELDS, SessionModel
from app.flows.template import Render, Template
from app.flows.timers import checked_seconds

POLL = "poll"  # what a client sends only to ask
_NEVER_SENT = frozenset({"*", "error_execution"})


def check_state_values(machine: type[SessionMachine], loc: Loc, findings: Findings) -> None:
    """Checks that every state has a value of its own: the machine finds a state by it."""
    seen: dict[Any, str] = {}
    for state in states_of(machine):
        other = seen.setdefault(state.value, state.id)
        if other != state.id:
            findings.error(
                loc, f"states {other!r} and {state.id!r} both have value {state.value!r}"
            )


def check_support(machine: type[SessionMachine], loc: Loc, findings: Findings) -> None:
    """Checks that nothing is used that a session cannot be put back into, or that blocks others."""
    for state in states_of(machine):
        if state.parallel:
            reason = (
                "parallel states are not supported; a Parallel template runs steps side by side"
            )
            findings.error(loc, f"state {state.id!r}: {reason}")
        if any(not callback.is_convention for callback in state.invoke):
            reason = "a state invokes what its template says; `invoke` is not supported"
            findings.error(loc, f"state {state.id!r}: {reason}")
        for history in state.history:
            findings.error(loc, f"state {history.id!r}: history states are not supported")
        for event in _never_sent(state):
            findings.error(loc, f"state {state.id!r}: no event {event!r} is ever sent in a flow")
    events: Any = machine.events
    for event in events:
        if event.delay:
            findings.error(loc, f"event {event.id!r}: delayed events are not supported")


def check_binding(
    machine: type[SessionMachine], model: type[SessionModel], loc: Loc, findings: Findings
) -> None:
    """The model can be made from nothing, and every callback that is named is there."""
    for name in sorted(_declared_fields(model) & BUILT_IN_FIELDS):
        findings.error(loc, f"field {name!r}: the service sets one of this name, and stores none")
    try:
        bound = model()
    except ValidationError as error:
        names = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        findings.error(loc, f"every field needs a default: {names}")
        return
    # In a state already, so that no hook is run.
    bound._configuration = next(iter(machine.states_map))  # noqa: SLF001 - the engine's own
    try:
        machine(bound)
    except InvalidDefinition as error:
        findings.error(loc, error_line(error))


def check_names(machine: type[SessionMachine], loc: Loc, findings: Findings) -> None:
    """Checks that each state that is entered has a template, and nothing else has one."""
    entered = {state.id for state in states_of(machine) if not state.states}
    for state_id in sorted(entered - machine.templates.keys()):
        findings.error(loc, f"state {state_id!r} has no template")
    for state_id in sorted(str(key) for key in machine.templates.keys() - entered):
        findings.error(loc, f"template {state_id!r} is for no state")


def check_events(
    machine: type[SessionMachine],
    templates: Mapping[str, Template],
    loc: Loc,
    findings: Findings,
) -> None:
    """Invocations can end, and no event that ends one is needed from a client.

    `templates` holds those that could be read, by the id of their state.
    """
    ending: dict[str, str] = {}
    waiting: list[State] = []
    for state in states_of(machine):
        template, events = templates.get(state.id), events_of(state)
        if POLL in events:
            findings.error(loc, f"state {state.id!r}: an event cannot be named {POLL!r}")
        if isinstance(template, Render):
            waiting.append(state)
        elif template is not None and (event := ending_event(events)) is not None:
            ending.setdefault(event, state.id)
            _check_invoker(state, event, loc, findings)
        elif template is not None:
            findings.error(loc, f"no event leaves the invoker state {state.id!r}")
    for state in waiting:
        for event in [event for event in events_of(state) if event in ending]:
            findings.error(
                loc,
                f"event {event!r} ends the invocation of state {ending[event]!r}, so no client"
                f" can send it in state {state.id!r}",
            )


def _check_invoker(state: State, event: str, loc: Loc, findings: Findings) -> None:
    """An invoker state is left by one event, and by `error`."""
    own = (str(one.event or "").split() for one in state.transitions)
    unused = {name for names in own for name in names} - {event, ERROR_EVENT}
    for name in sorted(name for name in unused if not is_library_event(name)):
        findings.error(
            loc,
            f"invoker state {state.id!r} is sent only {event!r}, its first event, and"
            f" {ERROR_EVENT!r}: never {name!r}",
        )
    if any(True for _ in _eventless_targets(state)):
        findings.error(loc, f"invoker state {state.id!r} is left by its event only, not by itself")


def check_timers(
    machine: type[SessionMachine],
    templates: Mapping[str, Template],
    loc: Loc,
    findings: Findings,
) -> None:
    """Checks that timers are of states that wait for somebody, and send what is taken there."""
    states = {state.id: state for state in states_of(machine)}
    for state_id, timers in machine.timers.items():
        state = states.get(state_id)
        if (
            state is None
            or state.final
            or not isinstance(templates.get(state_id, Render("")), Render)
        ):
            findings.error(loc, f"timers of {state_id!r}: that is no state that waits")
            continue
        taken = {event for inner in _inner(state) for event in events_of(inner)}
        for timer in timers:
            try:
                checked_seconds(timer.seconds)
            except ValueError as error:
                findings.error(loc, f"a timer of state {state_id!r}: seconds {error}")
            if timer.event not in taken:
                findings.error(
                    loc, f"state {state_id!r} does not take {timer.event!r} of its timer"
                )


def _inner(state: State) -> Iterator[State]:
    """A state and those in it."""
    yield state
    for child in state.states:
        yield from _inner(child)


def check_rest(
    machine: type[SessionMachine],
    templates: Mapping[str, Template],
    loc: Loc,
    findings: Findings,
) -> None:
    """Checks that some state invokes nothing: a failure has nowhere else to lead."""
    entered = [templates.get(state.id) for state in states_of(machine) if not state.states]
    if not any(template is None or isinstance(template, Render) for template in entered):
        findings.error(loc, "every state invokes something; one has to wait, or be the end")


def check_circles(machine: type[SessionMachine], loc: Loc, findings: Findings) -> None:
    """Checks for circles of transitions without events: with one event they go on for ever."""
    done: set[str] = set()
    for state in states_of(machine):
        if not state.states:
            _follow(state, [], done, loc, findings)


def _follow(leaf: State, trail: list[str], done: set[str], loc: Loc, findings: Findings) -> None:
    if leaf.id in done:
        return
    trail.append(leaf.id)
    for target in _eventless_targets(leaf):
        if target.id in trail:
            circle = " → ".join([*trail[trail.index(target.id) :], target.id])
            findings.error(loc, f"transitions without events go round for ever: {circle[:200]}")
        else:
            _follow(target, trail, done, loc, findings)
    trail.pop()
    done.add(leaf.id)


def _eventless_targets(leaf: State) -> Iterator[State]:
    """The innermost states that a state may go on to by itself."""
    around: State | None = leaf
    while around is not None:
        for transition in around.transitions:
            if transition.is_eventless and not transition.initial:
                for target in transition.targets or [leaf]:
                    yield _innermost(target)
        around = around.parent


def _innermost(state: State) -> State:
    """The state that is entered where one is a target: the initial one inside it, if any."""
    while state.states:
        state = next(inner for inner in state.states if inner.initial)
    return state


def _never_sent(state: State) -> list[str]:
    """What only the statechart library would send, as it is not set to do here."""
    names = [name for one in state.transitions for name in str(one.event or "").split()]
    return [name for name in dict.fromkeys(names) if name in _NEVER_SENT]


def _declared_fields(model: type[SessionModel]) -> set[str]:
    """The names of the fields that a model declares itself."""
    own = model.__mro__[: model.__mro__.index(SessionModel)]
    return {name for base in own for name in vars(base).get("__annotations__", {})}


def states_of(machine: type[SessionMachine]) -> Iterator[State]:
    """All states, also those inside others, the outer ones first."""
    waiting = list(machine.states)
    while waiting:
        state = waiting.pop(0)
        yield state
        waiting = [*state.states, *waiting]


def events_of(state: State) -> list[str]:
    """The events that a state takes, those of the states around it last."""
    found: dict[str, None] = {}
    around: State | None = state
    while around is not None:
        for transition in around.transitions:
            found.update(dict.fromkeys(str(transition.event or "").split()))
        around = around.parent
    return [event for event in found if not is_library_event(event)]
