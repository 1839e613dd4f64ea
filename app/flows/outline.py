"""A flow's states and transitions as plain data: what people and programs may know of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from statemachine import HistoryState, State
from statemachine.transition import Transition

from app.flows.flow import Flow
from app.flows.template import Render
from app.flows.timers import duration_text


@dataclass(frozen=True, slots=True)
class Arrow:
    """A transition.

    Attributes:
        events: ids of the events that it is taken on; without any it is taken by itself.
        targets: ids of states; none: it stays where it is.
        guards: its conditions, as the flow writes them.
        initial: it only says which state inside a compound one is entered first.
    """

    events: list[str]
    targets: list[str]
    guards: list[str]
    initial: bool


@dataclass(frozen=True, slots=True)
class TimerOutline:
    """An event that is sent so long after a state was entered, as people write it."""

    event: str
    after: str


@dataclass(frozen=True, slots=True)
class StateOutline:
    """A state.

    Attributes:
        path: ids from the outermost state to this one.
        initial: the session, or the state around this one, starts here.
        invokes: entering it starts an invocation.
        asks: a step of that may ask a person.
        history: of a history state, `shallow` or `deep`; it leads back to where the one around it
            was left, and is never itself where a session is.
        events: what a client may send in it.
        timers: what the service sends in it.
    """

    id: str
    name: str
    path: list[str]
    initial: bool
    final: bool
    compound: bool
    invokes: bool
    asks: bool
    history: str | None
    events: list[str]
    timers: list[TimerOutline]
    arrows: list[Arrow]


def outline(flow: Flow) -> list[StateOutline]:
    """The states of a flow, each before those inside it, in the order they are declared."""
    return [_state(flow, state, path) for state, path in _walk(flow.machine.states, [])]


def number_of_states(flow: Flow) -> int:
    """How many states a flow has, history states and those inside others too."""
    return sum(1 for _ in _walk(flow.machine.states, []))


def _walk(states: Iterable[State], around: list[str]) -> Iterator[tuple[State, list[str]]]:
    for state in states:
        path = [*around, state.id]
        yield state, path
        yield from _walk([*state.states, *state.history], path)


def _state(flow: Flow, state: State, path: list[str]) -> StateOutline:
    compound = bool(state.states)
    invokes = not isinstance(flow.templates.get(state.id, Render("")), Render)
    takes_events = not compound and not invokes and state.id in flow.templates
    return StateOutline(
        id=state.id,
        name=str(state.name),
        path=path,
        initial=bool(state.initial),
        final=bool(state.final),
        compound=compound,
        invokes=invokes,
        asks=flow.asks(state.id),
        history=state.type.value if isinstance(state, HistoryState) else None,
        events=flow.next_actions(" ".join(path)) if takes_events else [],
        timers=[
            TimerOutline(one.timer.event, duration_text(one.timer.seconds))
            for one in flow.timers([state.id])
        ],
        arrows=[_arrow(transition, compound=compound) for transition in state.transitions],
    )


def _arrow(transition: Transition, *, compound: bool) -> Arrow:
    events = list(dict.fromkeys(str(event) for event in transition.events))
    targets = [target.id for target in transition.targets]
    return Arrow(
        events=events,
        targets=targets,
        guards=[str(guard) for guard in transition.cond],
        initial=compound and not events and bool(targets) and not transition.internal,
    )
