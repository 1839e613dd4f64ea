"""Reads the statechart of a manifest: python-statemachine's own format, less what flows refuse."""

import re
from types import SimpleNamespace
from typing import Any

from statemachine import State

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.machine import SessionMachine, is_library_event
from app.flows.manifest.chart import Chart, ChartState, ChartTransition
from app.flows.manifest.chart_content import ContentChecker
from app.flows.manifest.chart_source import MAX_REFUSAL_CHARS, REFUSAL

MAX_STATES = 200
MAX_TRANSITIONS = 100

_FLAGS = ("initial", "final")
_SLOTS = ("on", "before", "after")
_STATE_KEYS = (*_FLAGS, "enter", "exit", "transitions", "states")
_TRANSITION_KEYS = ("event", "target", "cond", "unless", REFUSAL, "internal", *_SLOTS)
_STATE_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)

# Parts of the library's format that have no place in a flow, and what to do instead.
_REFUSED = {
    "datamodel": "the fields of a flow are declared in `model`",
    "parallel": "parallel states are not supported; a parallel template runs steps side by side",
    "history": "history states are not supported",
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
        if given.get("states") is not None:
            self._states(given["states"], (*loc, "states"), state)
        if final and (state.transitions or state.children):
            self._findings.error(loc, "a final state has no transitions and no states inside")
        return state

    def _is_free(self, state_id: str, loc: Loc) -> bool:
        if not _STATE_ID.fullmatch(state_id):
            reason = "the id of a state is a letter, then letters, digits or _, 63 at most"
        elif _is_reserved(state_id):
            reason = "this id is reserved; choose another"
        elif state_id in self._chart.states:
            reason = "another state has this id; ids are unique, also across levels"
        elif len(self._chart.states) == MAX_STATES:
            reason = f"a flow has at most {MAX_STATES} states"
        else:
            return True
        self._findings.error(loc, reason)
        return False

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
        return ChartTransition(
            loc=loc,
            events=self._events(given.get("event"), (*loc, "event")),
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

    def _events(self, value: object, loc: Loc) -> list[str]:
        if value is None:
            return []
        events = value.split() if isinstance(value, str) else []
        if not events:
            self._findings.error(loc, "must be the name of an event")
        for event in events:
            if not _EVENT.fullmatch(event):
                reason = "the name of an event is a letter, then letters, digits, _ or -"
                self._findings.error(loc, f"{reason}, 63 at most")
            elif _is_reserved(event):
                self._findings.error(loc, f"the event name {event!r} is reserved")
        return events

    def _resolve(self, state: ChartState) -> None:
        """Checks the targets of a state's transitions, now that all states are known."""
        for transition in state.transitions:
            target = self._chart.states.get(transition.target or "")
            if transition.target is not None and target is None:
                reason = f"there is no state {transition.target[:100]!r}"
                self._findings.error((*transition.loc, "target"), reason)
                transition.target = None
            elif transition.internal and (target is None or state not in target.line()):
                reason = "an internal transition leads to the state itself or one inside it"
                self._findings.error((*transition.loc, "internal"), reason)

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
