"""The statechart of a manifest as plain data: states and transitions, with their places."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from app.errors import Loc


@dataclass(slots=True)
class ChartTransition:
    """One transition.

    Attributes:
        events: what it is taken on.
        ends: ids of states around others, at whose end it is taken (`done.state.ID`). Without
            these and without events it is taken as soon as its guards allow.
        target: the id of a state; None stays where it is.
        guarded: whether it has a guard of either sense.
        internal: the source is not left where the target is inside it.
    """

    loc: Loc
    events: list[str]
    ends: list[str]
    target: str | None
    guarded: bool
    internal: bool


@dataclass(slots=True)
class ChartTimer:
    """An event that is sent some time after its state was entered."""

    loc: Loc
    event: str


@dataclass(slots=True, eq=False)
class ChartHistory:
    """A history state: a target that stands for where the state around it was left last.

    Attributes:
        deep: it remembers the innermost state, not the one directly inside.
        target: where it leads as long as the state around it was never left.
    """

    id: str
    loc: Loc
    parent: "ChartState"
    deep: bool
    target: str | None


@dataclass(slots=True, eq=False)
class ChartState:
    """One state; the session is always in one that has no children, and in those around it."""

    id: str
    loc: Loc
    parent: Optional["ChartState"]
    initial: bool
    final: bool
    children: list["ChartState"] = field(default_factory=list)
    transitions: list[ChartTransition] = field(default_factory=list)
    timers: list[ChartTimer] = field(default_factory=list)

    def line(self) -> Iterator["ChartState"]:
        """The state and those around it, from the inside out."""
        state: ChartState | None = self
        while state is not None:
            yield state
            state = state.parent

    def entered(self) -> "ChartState":
        """The innermost state that entering this one leads to."""
        state = self
        while state.children:
            state = next((child for child in state.children if child.initial), state.children[0])
        return state

    def leaves(self) -> Iterator["ChartState"]:
        """The innermost states in it; itself, where there are none."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def possible(self) -> Iterator[ChartTransition]:
        """The transitions that may be taken in the state: its own, then those around it."""
        for state in self.line():
            for transition in state.transitions:
                if transition.events or self._follows_by_itself(transition):
                    yield transition

    def automatic(self) -> Iterator[ChartTransition]:
        """Those of them that nobody sends an event for."""
        return (one for one in self.possible() if self._follows_by_itself(one))

    def _follows_by_itself(self, transition: ChartTransition) -> bool:
        ends_parent = self.final and self.parent is not None and self.parent.id in transition.ends
        return ends_parent or not (transition.events or transition.ends)

    def events(self) -> list[str]:
        """The events that the state takes, its own first."""
        return list(dict.fromkeys(event for one in self.possible() for event in one.events))


class Chart:
    """All states by id, in the order they are declared."""

    def __init__(self) -> None:
        self.states: dict[str, ChartState] = {}
        self.histories: dict[str, ChartHistory] = {}

    def leaves(self) -> list[ChartState]:
        """The states that have none inside."""
        return [state for state in self.states.values() if not state.children]

    def initial(self) -> ChartState | None:
        """The innermost state that a new session is in."""
        top = [state for state in self.states.values() if state.parent is None and state.initial]
        return top[0].entered() if top else None

    def after(self, leaf: ChartState, transition: ChartTransition) -> list[ChartState]:
        """The innermost states of which one follows a transition out of `leaf`."""
        if transition.target is None:
            return [leaf]
        history = self.histories.get(transition.target)
        if history is None:
            return [self.states[transition.target].entered()]
        if history.deep:
            return list(history.parent.leaves())
        return [child.entered() for child in history.parent.children]
