"""Reads the statechart of a manifest: python-statemachine's own format, less what flows refuse."""

import re
from types import SimpleNamespace
from typing import Any

from statemachine import State

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.machine import SessionMachine, is_library_event
from app.flows.manifest.chart import Chart, ChartHistory, ChartState, ChartTransition
from app.flows.manifest.chart_content import ContentChecker
from app.flows.manifest.chart_history import read_history
from app.flows.manifest.chart_source import MAX_REFUSAL_CHARS, REFUSAL, TIMERS
from app.flows.manifest.chart_timers import read_timers

MAX_STATES = 200
MAX_TRANSITIONS = 100

_FLAGS = ("initial", "final")
_SLOTS = ("on", "before", "after")
_STATE_KEYS = (*_FLAGS, "enter", "exit", "transitions", TIMERS, "states", "history")
_TRANSITION_KEYS = ("event", "target", "cond", "unless", REFUSAL, "internal", *_SLOTS)
_DONE = "done.state."
_STATE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)

# Parts of the library's format that have no place in a flow, and what to do instead.
_REFUSED = {
    "datamodel": "the fields of a flow are declared in `model`",
    "parallel": "parallel states are not supported; a parallel template runs steps side by side",
    "invoke": "a state invokes what its template says; `invoke` has no place in the statechart",
    "src": "nothing is loaded from elsewhere",
    "donedata": "there is no use for it in a flow",
}


class _Probe(SessionMachine):
    probe = State(initial=True, final=True)


# A state or event of such a name would hide a part of the machine, or be called as a hook.
_RESERVED = frozenset(dir(_Probe(SimpleNamespace(_configuration=None)))) - {"probe"} | {"poll"}
_HOOKS = ("on_", "before_", "after_", "prepare_")


class ChartReader:
    """Reads a statechart.

    Args:
        fields: the fields of the flow's model.
        findings: where faults go.
    """

    def __init__(self, fields: frozenset[str], findings: Findings) -> None:
        self._findings = findings
        self._content = ContentChecker(fields, findings)
        self._chart = Chart()

    def read(self, statechart: object, loc: Loc) -> Chart:
        """The chart, as far as it can be read."""
        document = self._members(statechart, loc, ("name", "description", "states"))
        for key in ("name", "description"):
            if not isinstance(document.get(key, ""), str):
                self._findings.error((*loc, key), "must be a text")
        self._states(document.get("states"), (*loc, "states"), None)
        for state in self._chart.states.values():
            self._resolve(state)
        for history in self._chart.histories.values():
            self._resolve_history(history)
        return self._chart

    def _states(self, value: object, loc: Loc, parent: ChartState | None) -> None:
        given = self._findings.mapping(value, loc)
        made = [self._state(key, item, (*loc, key), parent) for key, item in given.items()]
        # The order of keys is not kept in storage, so that "the first" would be any of them.
        if isinstance(value, dict) and sum(state.initial for state in made if state) != 1:
            self._findings.error(loc, "exactly one state must be `initial: true`")

    def _state(
        self, state_id: str, value: object, loc: Loc, parent: ChartState | None
    ) -> ChartState | None:
        if not self._is_free(state_id, loc):
            return None
        given = self._members({} if value is None else value, loc, _STATE_KEYS)
        initial, final = (self._findings.flag(given.get(key), (*loc, key)) for key in _FLAGS)
        state = ChartState(state_id, loc, parent, initial, final)
        self._chart.states[state_id] = state
        if parent:
            parent.children.append(state)
        for slot in ("enter", "exit"):
            self._content.actions(given.get(slot), (*loc, slot))
        self._transitions(state, given.get("transitions"))
        if given.get(TIMERS) is not None:
            state.timers = read_timers(self._findings, given[TIMERS], (*loc, TIMERS))
        if given.get("states") is not None:
            self._states(given["states"], (*loc, "states"), state)
        if given.get("history") is not None:
            self._history(state, given["history"], (*loc, "history"))
        if final and (state.transitions or state.children):
            self._findings.error(loc, "a final state has no transitions and no states inside")
        return state

    def _is_free(self, state_id: str, loc: Loc) -> bool:
        if not _STATE_ID.fullmatch(state_id):
            reason = "the id of a state is a letter, then letters, digits or _, 63 at most"
        elif _is_reserved(state_id):
            reason = "this id is reserved; choose another"
        elif state_id in self._chart.states or state_id in self._chart.histories:
            reason = "another state has this id; ids are unique, also across levels"
        elif len(self._chart.states) == MAX_STATES:
            reason = f"a flow has at most {MAX_STATES} states"
        else:
            return True
        self._findings.error(loc, reason)
        return False

    def _history(self, parent: ChartState, value: object, loc: Loc) -> None:
        """The history states of a state that has others inside."""
        if not parent.children:
            self._findings.error(loc, "is not supported in a state that has none inside")
            return
        for key, item in self._findings.mapping(value, loc).items():
            if self._is_free(key, (*loc, key)):
                history = read_history(self._findings, key, item, (*loc, key), parent)
                self._chart.histories[key] = history

    def _transitions(self, state: ChartState, value: object) -> None:
        loc = (*state.loc, "transitions")
        given = [] if value is None else self._findings.items(value, loc)
        if len(given) > MAX_TRANSITIONS:
            self._findings.error(loc, f"a state has at most {MAX_TRANSITIONS} transitions")
        for index, item in enumerate(given[:MAX_TRANSITIONS]):
            state.transitions.append(self._transition(item, (*loc, index)))

    def _transition(self, value: object, loc: Loc) -> ChartTransition:
        given = self._members(value, loc, _TRANSITION_KEYS)
        for slot in _SLOTS:
            self._content.actions(given.get(slot), (*loc, slot))
        for guard in ("cond", "unless"):
            self._content.guard(given.get(guard), (*loc, guard))
        self._refusal(given, (*loc, REFUSAL))
        target = given.get("target")
        if target is not None and not isinstance(target, str):
            self._findings.error((*loc, "target"), "must be the id of a state")
            target = None
        names = self._event_names(given.get("event"), (*loc, "event"))
        return ChartTransition(
            loc=loc,
            events=[name for name in names if not name.startswith(_DONE)],
            ends=[name.removeprefix(_DONE) for name in names if name.startswith(_DONE)],
            target=target,
            guarded=given.get("cond") is not None or given.get("unless") is not None,
            internal=self._findings.flag(given.get("internal"), (*loc, "internal")),
        )

    def _refusal(self, transition: dict[str, Any], loc: Loc) -> None:
        """What a client reads whose event the guards of a transition refuse."""
        text = transition.get(REFUSAL)
        if text is None:
            return
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_REFUSAL_CHARS:
            self._findings.error(loc, f"must be a text of 1 to {MAX_REFUSAL_CHARS} characters")
        if transition.get("cond") is None and transition.get("unless") is None:
            self._findings.error(loc, "without a guard nothing is refused")
        elif transition.get("event") is None:
            self._findings.error(loc, "without an event nobody is there to read it")

    def _event_names(self, value: object, loc: Loc) -> list[str]:
        if value is None:
            return []
        events = value.split() if isinstance(value, str) else []
        if not events:
            self._findings.error(loc, "must be the name of an event")
        for event in events:
            if event.startswith(_DONE):
                continue
            if not _EVENT.fullmatch(event):
                reason = "the name of an event is a letter, then letters, digits, _ or -"
                self._findings.error(loc, f"{reason}, 63 at most")
            elif _is_reserved(event):
                self._findings.error(loc, f"the event name {event!r} is reserved")
        return events

    def _resolve(self, state: ChartState) -> None:
        """Checks the targets of a state's transitions, now that all states are known."""
        for transition in state.transitions:
            self._resolve_ends(state, transition)
            name = transition.target
            target = self._chart.states.get(name or "")
            if name is not None and target is None and name not in self._chart.histories:
                self._findings.error(
                    (*transition.loc, "target"), f"there is no state {name[:100]!r}"
                )
                transition.target = None
            elif transition.internal and (target is None or state not in target.line()):
                reason = "an internal transition leads to the state itself or one inside it"
                self._findings.error((*transition.loc, "internal"), reason)

    def _resolve_ends(self, state: ChartState, transition: ChartTransition) -> None:
        """Checks that what a transition waits for the end of has one, and is left by it."""
        for name in transition.ends:
            ended = self._chart.states.get(name)
            if ended is None or not any(child.final for child in ended.children):
                reason = f"there is no state {name[:100]!r} with a final one inside"
            elif state not in ended.line():
                reason = f"{_DONE}{name} is for that state, or one around it"
            else:
                continue
            self._findings.error((*transition.loc, "event"), reason)

    def _resolve_history(self, history: ChartHistory) -> None:
        """Checks that the state where a history begins is inside the one around it."""
        target = self._chart.states.get(history.target or "")
        if history.target is not None and (target is None or history.parent not in target.line()):
            reason = f"must be the id of a state inside {history.parent.id!r}"
            self._findings.error((*history.loc, "transitions", 0, "target"), reason)

    def _members(self, value: object, loc: Loc, known: tuple[str, ...]) -> dict[str, Any]:
        """The known members; for what the library has and flows have not, say what to do."""
        given = self._findings.mapping(value, loc)
        for key in given:
            if key in _REFUSED:
                self._findings.error((*loc, key), _REFUSED[key])
        rest = {key: item for key, item in given.items() if key not in _REFUSED}
        return self._findings.members(rest, loc, known)


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.startswith(_HOOKS) or is_library_event(name)
