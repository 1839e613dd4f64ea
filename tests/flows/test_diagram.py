"""Diagrams of flows: all is in them, no name is markup, they are bounded."""

import re
import time
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statemachine import State

from app.errors import DefinitionMismatchError
from app.flows.diagram.diagram import mermaid, svg
from app.flows.diagram.layout import Edge, Layout
from app.flows.diagram.ranks import Box
from app.flows.flow import Flow
from app.flows.library import code_flows
from app.flows.machine import SessionMachine
from app.flows.manifest.chart_machine import machine_of
from app.flows.model.session_model import SessionModel
from app.flows.outline import outline
from app.flows.rendering.jinja import TrustedRenderer
from app.flows.template import Ask, Chain, Invoke, Map, Queue, Render, Template

SVG = "{http://www.w3.org/2000/svg}"


class Nested(SessionMachine):
    class outer(State.Compound):  # noqa: N801 - its name is the state's id
        first = State(initial=True)
        second = State()
        go = first.to(second)
        again = second.to.itself()

    done = State(final=True)
    leave = outer.to(done)


def flow_of(machine: type[SessionMachine], **templates: Template) -> Flow:
    leaves = [state.id for state in machine.states_map.values() if not state.states]
    return Flow(
        key="drawn",
        revision=0,
        machine=machine,
        model=SessionModel,
        templates={**dict.fromkeys(leaves, Render("x")), **templates},
        renderer=TrustedRenderer(),
        trusted=True,
    )


def named(name: str) -> Flow:
    """A flow with a state, and a guard, that somebody else named."""

    class Named(SessionMachine):
        begin = State(name, initial=True)
        close = State(final=True)
        finish = begin.to(close)

    return flow_of(Named)


def large(states: int) -> Flow:
    """Each state leads to the next, back to the first, and to three that are far away."""

    def transitions(i: int) -> list[dict[str, Any]]:
        far = [(f"jump{k}", (i * 7 + k * 13) % states) for k in range(3)]
        ends = [("next", min(i + 1, states - 1)), ("cancel", 0), *far]
        return [{"event": event, "target": f"s{end}"} for event, end in ends]

    chart = {f"s{i}": {"initial": i == 0, "transitions": transitions(i)} for i in range(states)}
    return flow_of(machine_of({"states": chart}, frozenset()))


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314 - made by this process


def groups(picture: str, kind: str) -> list[list[str]]:
    """The texts of each state of a kind in a picture."""
    root = parsed(picture)
    return [
        [text.text or "" for text in group.iter(f"{SVG}text")]
        for group in root.iter(f"{SVG}g")
        if {"state", kind} <= set(group.get("class", "").split())
    ]


def texts(picture: str) -> list[str]:
    return [text.text or "" for text in parsed(picture).iter(f"{SVG}text")]


def test_a_picture_shows_all_states_and_events_and_marks_the_current_one() -> None:
    chat = code_flows()["chat"]
    picture = svg(chat, "roboto_turn")
    shown = texts(picture)
    states = ("user_turn", "roboto_turn", "tool_turn", "client_tool_turn", "action_turn")
    for state in (*states, "goals_failed"):
        assert shown.count(state) == 1
    assert shown.count("user_message") == 4
    assert {"tools_done", "submit_results", "resolve_action", "cancel"} <= set(shown)
    assert groups(picture, "current") == [["Roboto turn", "roboto_turn"]]
    invokes = [["Roboto turn", "roboto_turn"], ["Tool turn", "tool_turn"]]
    assert groups(picture, "invokes") == invokes
    assert groups(svg(chat), "current") == []


def test_states_that_ask_a_person_are_marked() -> None:
    inner = Map("items", Queue("slow", Chain((Invoke("x", "echo"), Ask("Which?", {})))))
    flow = flow_of(Nested, first=inner, second=Invoke("x", "echo"))
    assert [state.id for state in outline(flow) if state.asks] == ["first"]
    assert groups(svg(flow), "asks") == [["First", "outer / first"]]
    assert groups(svg(code_flows()["chat"]), "asks") == []


def test_states_inside_others_are_shown_by_their_path() -> None:
    picture = svg(flow_of(Nested), "outer second")
    assert groups(picture, "state") == [
        ["Outer", "outer"],
        ["First", "outer / first"],
        ["Second", "outer / second"],
        ["Done", "done"],
    ]
    assert groups(picture, "compound") == [["Outer", "outer"]]
    assert groups(picture, "final") == [["Done", "done"]]
    assert [texts[1] for texts in groups(picture, "current")] == ["outer", "outer / second"]
    assert "again" in texts(picture)


def test_mermaid_names_events_by_id_and_marks_the_current_state() -> None:
    text = mermaid(flow_of(Nested), "outer second")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert "[*] --> outer" in lines
    assert "first --> second : go" in lines
    assert "second --> second : again" in lines
    assert "outer --> done : leave" in lines
    assert "second:::active" in lines
    assert "user_turn --> roboto_turn : user_message" in mermaid(code_flows()["chat"])
    assert ":::active" not in mermaid(code_flows()["chat"])


def test_mermaid_keeps_ids_apart_from_its_own_words() -> None:
    class Words(SessionMachine):
        note = State(initial=True)
        state = State(final=True)
        click = note.to(state)

    text = mermaid(flow_of(Words))
    note, state = (f"x_{word.encode().hex()}" for word in ("note", "state"))
    assert f"{note} --> {state} : click" in text


def test_a_state_that_the_flow_does_not_have_is_a_mismatch() -> None:
    for draw in (svg, mermaid):
        with pytest.raises(DefinitionMismatchError, match="'gone'"):
            draw(code_flows()["chat"], "gone")


@given(st.text(max_size=100))
def test_a_name_is_never_markup(name: str) -> None:
    for text in (name, f"{name}<script>alert(1)</script>", f'"{name}"&amp;\n--> x : y %% z'):
        flow = named(text)
        root = parsed(svg(flow))
        assert not list(root.iter(f"{SVG}script"))
        assert len(list(root.iter(f"{SVG}path"))) == 3  # the tip, the start, one transition
        lines = mermaid(flow).splitlines()
        assert len(lines) == len(mermaid(named("Begin")).splitlines())
        assert re.fullmatch(r'    state "[^"<>:;%&{}]*(#\d+;[^"<>:;%&{}]*)*" as begin', lines[2])


def test_a_long_name_is_cut() -> None:
    assert max(map(len, texts(svg(named("x" * 10_000))))) == 60
    assert len(mermaid(named("x" * 10_000))) < 500


def test_a_flow_of_200_states_is_drawn_whole_and_soon() -> None:
    flow = large(200)
    began = time.process_time()
    picture = svg(flow, "s7")
    assert time.process_time() - began < 5
    assert len(picture) < 400_000
    shown = groups(picture, "state")
    assert [state[1] for state in shown] == [f"s{i}" for i in range(200)]
    assert "cancel → s0" in shown[100]  # too far for a line
    assert groups(picture, "current")[0][1] == "s7"
    assert mermaid(flow).count("-->") == 1000 + 1


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(
                st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)),
                max_size=25,
                unique=True,
            ),
        )
    )
)
def test_no_box_or_label_overlaps_another(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, ends = graph
    nodes = [Box(left=30, right=30, height=40) for _ in range(count)]
    edges = [Edge(a, b, width=50, height=15) for a, b in ends if a != b]
    layout = Layout(count, edges)
    width, height = layout.place(nodes)
    assert set(map(id, layout.routed)) == set(map(id, edges))
    placed = [*nodes, *(edge.label for edge in edges)]
    for i, box in enumerate(placed):
        assert box.x - box.left >= -0.01
        assert box.x + box.right <= width + 0.01
        assert box.y - box.height / 2 >= -0.01
        assert box.y + box.height / 2 <= height + 0.01
        assert not any(overlap(box, other) for other in placed[:i])
    for edge in edges:
        source, target = nodes[edge.source], nodes[edge.target]
        assert touches(source, edge.points[0])
        assert touches(target, edge.points[-1])


def overlap(one: Box, other: Box) -> bool:
    across = one.x - one.left < other.x + other.right and other.x - other.left < one.x + one.right
    apart = abs(one.y - other.y) - (one.height + other.height) / 2
    return across and apart < -0.01


def touches(node: Box, point: tuple[float, float]) -> bool:
    x, y = point
    return abs(x - node.x) <= node.left and abs(abs(y - node.y) - node.height / 2) < 0.01
