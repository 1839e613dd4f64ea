"""States inside states of manifests: what follows their end, and where histories lead back to."""

from copy import deepcopy
from typing import Any

import pytest

from app.flows.diagram.diagram import mermaid, svg
from app.flows.flow import Flow
from app.flows.manifest.compile import check_flow, compile_flow
from app.flows.model.session_model import SessionModel
from app.flows.outline import outline
from app.flows.rendering.jinja import TrustedRenderer

SHOP: dict[str, Any] = {
    "states": {
        "shop": {
            "initial": True,
            "states": {
                "browse": {"initial": True, "transitions": [{"event": "pick", "target": "order"}]},
                "order": {
                    "states": {
                        "size": {
                            "initial": True,
                            "transitions": [{"event": "next", "target": "address"}],
                        },
                        "address": {"transitions": [{"event": "next", "target": "ordered"}]},
                        "ordered": {"final": True},
                    },
                    "transitions": [{"event": "done.state.order", "target": "bought"}],
                },
                "bought": {"final": True},
            },
            "history": {
                "resume": {"type": "deep"},
                "again": {"transitions": [{"target": "order"}]},
            },
            "transitions": [
                {"event": "help", "target": "helping"},
                {"event": "done.state.shop", "target": "thanks"},
            ],
        },
        "helping": {
            "transitions": [
                {"event": "back", "target": "resume"},
                {"event": "restart", "target": "again"},
            ]
        },
        "thanks": {"transitions": [{"event": "more", "target": "again"}]},
    }
}
LEAVES = ("browse", "size", "address", "ordered", "bought", "helping", "thanks")


def spec(chart: dict[str, Any] = SHOP) -> dict[str, Any]:
    return {"statechart": chart, "templates": dict.fromkeys(LEAVES, "x")}


def compiled() -> Flow:
    findings = check_flow("shop", spec(), invokers=())
    assert (findings.errors, findings.warnings) == ([], [])
    return compile_flow("shop", 1, spec(), TrustedRenderer())


class Walk:
    """A session of the flow, of which only what is stored lives on from event to event."""

    def __init__(self) -> None:
        self.flow = compiled()
        self.state = "shop browse"
        self.history: dict[str, list[str]] = {}

    async def send(self, event: str) -> str:
        model: SessionModel = self.flow.model()
        model._history = self.history
        entered = await self.flow.send(self.state, model, event, "", internal=False)
        self.state, self.history = entered.target, model._history
        return self.state.rsplit(" ", 1)[-1]


async def test_the_end_of_a_state_leads_on_by_itself_through_several_levels() -> None:
    walk = Walk()

    assert [await walk.send(event) for event in ("pick", "next", "next")] == [
        "size",
        "address",
        "thanks",
    ]
    assert walk.flow.next_actions("shop order ordered") == ["help"]


async def test_a_deep_history_leads_back_to_the_innermost_state() -> None:
    walk = Walk()
    for event in ("pick", "next", "help"):
        await walk.send(event)

    assert await walk.send("back") == "address"
    assert walk.state == "shop order address"


async def test_a_shallow_history_leads_back_one_level_and_starts_where_it_says() -> None:
    walk = Walk()
    assert await walk.send("help") == "helping"
    assert await walk.send("restart") == "browse"
    for event in ("pick", "next", "help"):
        await walk.send(event)
    assert await walk.send("restart") == "size"

    walk.state, walk.history = "thanks", {}
    assert await walk.send("more") == "size"
    walk.state, walk.history = "helping", {}
    assert await walk.send("back") == "browse"


async def test_one_session_does_not_lead_back_to_where_another_was() -> None:
    one, other = Walk(), Walk()
    other.flow = one.flow
    for event in ("pick", "help"):
        await one.send(event)
    await other.send("help")

    assert await other.send("back") == "browse"
    assert await one.send("back") == "size"


def test_histories_show_in_outline_and_diagrams() -> None:
    flow = compiled()
    shown = {state.id: state for state in outline(flow)}

    assert (shown["resume"].history, shown["again"].history) == ("deep", "shallow")
    assert shown["resume"].events == []
    assert shown["browse"].history is None
    assert all(text in svg(flow) for text in ("resume", "again", "done.state.order"))
    assert "helping --> resume : back" in mermaid(flow).replace("    ", "")


def test_timers_show_in_outline_and_diagrams() -> None:
    timed = deepcopy(SHOP)
    timed["states"]["shop"]["after"] = {"36h": "help", "90s": "help"}
    flow = compile_flow("shop", 1, spec(timed), TrustedRenderer())
    shown = {state.id: state for state in outline(flow)}

    assert [(one.event, one.after) for one in shown["shop"].timers] == [
        ("help", "1d12h"),
        ("help", "1m30s"),
    ]
    assert shown["browse"].events == ["pick"]
    for picture in (svg(flow), mermaid(flow)):
        assert "help (after 1d12h, 1m30s)" in picture


@pytest.mark.parametrize(
    ("path", "value", "place", "reason"),
    [
        ("shop/history/resume", {"type": "full"}, "shop/history/resume/type", "shallow, deep"),
        ("shop/history/resume", {"states": {}}, "shop/history/resume/states", "not known here"),
        ("shop/history/resume/transitions", [], "shop/history/resume/transitions", "hold one"),
        (
            "shop/history/resume/transitions",
            [{"target": "helping"}],
            "shop/history/resume/transitions/0/target",
            "a state inside 'shop'",
        ),
        (
            "shop/history/resume/transitions",
            [{"target": "again", "cond": "true"}],
            "shop/history/resume/transitions/0/cond",
            "not known here",
        ),
        ("shop/history/order", {}, "shop/history/order", "another state has this id"),
        ("shop/history/send", {}, "shop/history/send", "reserved"),
        ("helping/history", {"h": {}}, "helping/history", "none inside"),
        ("shop/history", [], "shop/history", "must be an object"),
        (
            "helping/transitions/0",
            {"event": "done.state.shop", "target": "thanks"},
            "helping/transitions/0/event",
            "is for that state, or one around it",
        ),
        (
            "shop/transitions/0/event",
            "done.state.helping",
            "shop/transitions/0/event",
            "with a final one inside",
        ),
        (
            "shop/transitions/0/event",
            "help done.state.*",
            "shop/transitions/0/event",
            "with a final one inside",
        ),
        (
            "shop/transitions/1/target",
            "resume",
            "shop/transitions/1",
            "go round for ever",
        ),
    ],
)
def test_faults_have_their_place(path: str, value: Any, place: str, reason: str) -> None:
    chart = deepcopy(SHOP)
    *way, last = path.split("/")
    holder: Any = chart["states"]
    for key in way:
        holder = holder[int(key) if isinstance(holder, list) else key]
    holder[int(last) if isinstance(holder, list) else last] = value

    errors = check_flow("shop", spec(chart), invokers=()).errors

    found = {"/".join(map(str, fault["loc"][3:])): fault["msg"] for fault in errors}
    assert reason in found.get(place, ""), found


def test_a_state_that_invokes_is_not_left_by_the_end_of_the_one_around_it() -> None:
    invoking = spec()
    invoking["templates"]["bought"] = {"invoke": "verbatim", "template": "x"}

    errors = check_flow("shop", invoking, invokers=["verbatim"]).errors

    assert any("left by its event only" in fault["msg"] for fault in errors)
