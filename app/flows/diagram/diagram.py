"""A flow as a picture (SVG) and as text (Mermaid), with a session's state marked."""

import re
from collections.abc import Iterable

from statemachine.contrib.diagram.extract import extract
from statemachine.contrib.diagram.model import DiagramState, DiagramTransition
from statemachine.contrib.diagram.renderers.mermaid import MermaidRenderer

from app.errors import DefinitionMismatchError
from app.flows.diagram.drawing import Drawing
from app.flows.flow import Flow
from app.flows.outline import Arrow, StateOutline, outline

MAX_LABEL = 60  # characters of a name or a line of a label; what is longer is cut

# What Mermaid reads as a word of its own where an id should be.
_MERMAID_WORDS = frozenset(
    [
        "accdescr",
        "acctitle",
        "class",
        "classdef",
        "click",
        "default",
        "href",
        "note",
        "scale",
        "state",
        "style",
    ]
)
_MERMAID_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MERMAID_UNSAFE = re.compile(r"[^\w .,=!?()'+*/-]")


def svg(flow: Flow, current: str | None = None) -> str:
    """A picture of the flow. Takes a few hundred milliseconds for hundreds of states.

    Args:
        flow: what is drawn.
        current: the state that a session is in, to be marked.

    Raises:
        DefinitionMismatchError: the flow does not have that state.
    """
    states = outline(flow)
    marked = _marked_ids(flow, states, current)
    drawing = Drawing(f"{flow.key}, revision {flow.revision}")
    indexes = {
        state.id: drawing.add_state(
            label(state.name),
            _path(state),
            initial=_starts(state),
            final=state.final,
            compound=state.compound,
            invokes=state.invokes,
            asks=state.asks,
            current=state.id in marked,
        )
        for state in sorted(states, key=lambda state: not _starts(state))
    }
    delays = _delays(states)
    for (source, target), arrows in _arrows_by_ends(states).items():
        lines = [label(_text(arrow, delays)) for arrow in arrows]
        drawing.add_edge(
            indexes[source],
            indexes[target],
            [line for line in lines if line],
            dashed=all(arrow.initial for arrow in arrows),
        )
    return drawing.svg()


def mermaid(flow: Flow, current: str | None = None) -> str:
    """The flow as a Mermaid state diagram.

    Args:
        flow: what is drawn.
        current: the state that a session is in, to be marked.

    Raises:
        DefinitionMismatchError: the flow does not have that state.
    """
    states = outline(flow)
    marked = _marked_ids(flow, states, current)
    graph = extract(flow.machine)
    for state in _all(graph.states):
        state.is_active = state.id in marked
        state.actions = []  # hooks' names are for those who write the flow
        state.id, state.name = _mermaid_id(state.id), _mermaid_text(state.name)
    graph.compound_state_ids = {_mermaid_id(id_) for id_ in graph.compound_state_ids}
    delays = _delays(states)
    # The library writes the names of events for people; clients send their ids.
    graph.transitions = [
        DiagramTransition(
            source=_mermaid_id(state.id),
            targets=[_mermaid_id(target) for target in arrow.targets or [state.id]],
            event=_mermaid_text(_text(arrow, delays)),
            is_initial=arrow.initial,
        )
        for state in states
        for arrow in state.arrows
    ]
    return MermaidRenderer().render(graph)


def label(text: str) -> str:
    """A text from anywhere as one printable line of bounded length."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(shown.split())
    return line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 1]}…"


def _marked_ids(flow: Flow, states: list[StateOutline], current: str | None) -> set[str]:
    marked = set((current or "").split())
    unknown = marked.difference(state.id for state in states)
    if unknown:
        raise DefinitionMismatchError(
            f"The session is in state {min(unknown)!r}, which flow {flow.key!r} "
            f"(revision {flow.revision}) does not have."
        )
    return marked


def _starts(state: StateOutline) -> bool:
    return state.initial and len(state.path) == 1


def _path(state: StateOutline) -> str:
    path = " / ".join(state.path)
    return path if len(path) <= MAX_LABEL else f"…{path[1 - MAX_LABEL :]}"


def _arrows_by_ends(states: list[StateOutline]) -> dict[tuple[str, str], list[Arrow]]:
    """Transitions by source and target: those that have both in common share a line."""
    joined: dict[tuple[str, str], list[Arrow]] = {}
    for state in states:
        for arrow in state.arrows:
            for target in arrow.targets or [state.id]:
                joined.setdefault((state.id, target), []).append(arrow)
    return joined


def _delays(states: list[StateOutline]) -> dict[str, str]:
    """The delays after which timers send their events."""
    found: dict[str, dict[str, None]] = {}
    for timer in (timer for state in states for timer in state.timers):
        found.setdefault(timer.event, {})[timer.after] = None
    return {event: ", ".join(delays) for event, delays in found.items()}


def _text(arrow: Arrow, delays: dict[str, str]) -> str:
    guards = " and ".join(arrow.guards)
    events = [
        f"{event} (after {delays[event]})" if event in delays else event for event in arrow.events
    ]
    return " ".join(part for part in (" | ".join(events), f"[{guards}]" * bool(guards)) if part)


def _all(states: Iterable[DiagramState]) -> Iterable[DiagramState]:
    for state in states:
        yield state
        yield from _all(state.children)


def _mermaid_id(id_: str) -> str:
    if _MERMAID_ID.fullmatch(id_) and id_.lower() not in _MERMAID_WORDS:
        return id_
    return f"x_{id_.encode(errors='replace').hex()}"


def _mermaid_text(text: str) -> str:
    """One line in which Mermaid finds no syntax: other characters by their number."""
    return _MERMAID_UNSAFE.sub(lambda found: f"#{ord(found[0])};", label(text))
