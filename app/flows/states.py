"""The states of a flow: their events, their templates, and who acts in them."""

from collections.abc import Iterable

from statemachine import State

from app.errors import DefinitionMismatchError
from app.flows.machine import ERROR_EVENT, SessionMachine, ending_event, is_library_event
from app.flows.template import Map, Node, Render, RunTool, Template, asks_people
from app.flows.timers import StartedTimer


class FlowStates:
    """What a flow declares of its states; no code of the flow runs for it.

    Args:
        key: what the flow is called in URLs.
        revision: 0 for flows in code; manifests count from 1.
        machine: its statechart.
        templates: one for each state.

    Attributes:
        internal_events: those that no client may send.
        has_history: whether where some events lead depends on where the session was before.
    """

    def __init__(
        self,
        key: str,
        revision: int,
        machine: type[SessionMachine],
        templates: dict[str, Template],
    ) -> None:
        self.key = key
        self.revision = revision
        self.machine = machine
        self.templates = templates
        self._asking = frozenset(state for state, one in templates.items() if asks_people(one))
        self._states: dict[str, State] = {s.id: s for s in machine.states_map.values()}
        self.has_history = any(state.history for state in self._states.values())
        self.internal_events = frozenset(
            self.ending_event(state)
            for state, template in templates.items()
            if not isinstance(template, Render)
        ) | frozenset(machine.service_events)
        self.internal_events |= {t.event for timers in machine.timers.values() for t in timers}

    def next_actions(self, state: str) -> list[str]:
        """The events that a client may send in a state, in the order they are declared."""
        return [e for e in self._events(state) if e not in self.internal_events]

    def ending_event(self, state: str) -> str:
        """The event that ends an invocation of a state: its first, but for `error`.

        Raises:
            DefinitionMismatchError: no event leaves the state.
        """
        if (event := ending_event(self._events(state))) is not None:
            return event
        raise DefinitionMismatchError(f"No event leaves state {state!r} of flow {self.key!r}.")

    def takes_error(self, state: str) -> bool:
        """Whether the state says itself what follows when its invocation failed."""
        return ERROR_EVENT in self._events(state)

    def has(self, state: str) -> bool:
        """Whether it is a state of the flow; one that is stored may be another revision's."""
        return all(part in self._states for part in state.split(" "))

    def rests(self, state: str) -> bool:
        """Whether the flow has the state, and somebody can act in it."""
        return self.has(state) and not self.invokes(state) and bool(self.next_actions(state))

    def resting_state(self) -> str | None:
        """The first state in which somebody can act; or else the first that invokes nothing."""
        atomic = [s for s in self._states.values() if not (s.is_compound or s.parallel)]
        waiting = [_path(state) for state in atomic if not state.is_history]
        acting = (state for state in waiting if self.rests(state))
        return next(acting, None) or next((s for s in waiting if not self.invokes(s)), None)

    def timers(self, states: Iterable[str]) -> list[StartedTimer]:
        """The timers that start when states are entered, by their ids."""
        own = self.machine.timers
        return [StartedTimer(state, timer) for state in states for timer in own.get(state, ())]

    def template(self, state: str) -> Template:
        """The template of a state (of the innermost one, where states are nested)."""
        return self.templates[_leaf(state)]

    def invokes(self, state: str) -> bool:
        """Whether entering the state starts an invocation."""
        return not isinstance(self.template(state), Render)

    def calls_tools(self, state: str) -> bool:
        """Whether the steps of a state are calls of tools; a state that is gone has none."""
        template = self.templates.get(_leaf(state))
        return isinstance(template, Map) and isinstance(template.part, RunTool)

    def asks(self, state: str) -> bool:
        """Whether a step of a state may ask a person; a state that is gone has none."""
        return _leaf(state) in self._asking

    def node(self, state: str) -> Node:
        """The step tree of an invoker state."""
        template = self.template(state)
        if isinstance(template, Render):
            raise DefinitionMismatchError(f"State {state!r} of {self.key!r} invokes nothing.")
        return template

    def state_id(self, state: str) -> str:
        """The id of a state (of the innermost one, where states are nested)."""
        return _leaf(state)

    def state_name(self, state: str) -> str:
        """The human name of a state."""
        return str(self._states[_leaf(state)].name)

    def _events(self, state: str) -> list[str]:
        found: dict[str, None] = {}
        for state_id in reversed(self._known_ids(state)):
            for transition in self._states[state_id].transitions:
                found.update(dict.fromkeys(str(transition.event or "").split()))
        return [event for event in found if not is_library_event(event)]

    def _known_ids(self, state: str) -> list[str]:
        ids = state.split(" ")
        for state_id in ids:
            if state_id not in self._states:
                raise DefinitionMismatchError(
                    f"The session is in state {state_id!r}, which flow {self.key!r} "
                    f"(revision {self.revision}) does not have."
                )
        return ids


def _path(state: State) -> str:
    """The state as it is encoded: with the states around it, from the outside in."""
    return " ".join([*(outer.id for outer in reversed([*state.ancestors()])), state.id])


def _leaf(state: str) -> str:
    return state.rsplit(" ", 1)[-1]
