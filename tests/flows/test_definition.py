"""Flows from manifests, compiled and run: what the engine sees of them."""

import gc
from pathlib import Path
from typing import Any

import pytest

from app.errors import DefinitionMismatchError, EventNotAcceptedError
from app.flows.flow import Entered, Flow
from app.flows.graph import Graph
from app.flows.machine import SessionMachine
from app.flows.manifest.compile import check_flow, compile_flow
from app.flows.manifest.expression import EvaluationError
from app.flows.model.session_model import SessionModel
from app.flows.move import Recording
from app.flows.rendering.jinja import TrustedRenderer
from app.flows.rendering.sandbox import SandboxLimits, SandboxRenderer
from app.flows.select import select
from app.flows.template import Chain, Invoke, Map, Parallel, Queue, Render
from app.manifests.text.yaml import read_yaml
from tests.flows.specs import INVOKERS, changed, greet

EXAMPLES = Path(__file__).parents[2] / "examples" / "flows"


def compiled(spec: dict[str, Any]) -> Flow:
    findings = check_flow("greet", spec, invokers=INVOKERS)
    assert not findings.errors
    return compile_flow("greet", 1, spec, TrustedRenderer(), "A test.")


def acting(**transition: Any) -> Flow:
    """`greet` whose first transition has these members too."""
    spec = greet()
    spec["statechart"]["states"]["intro"]["transitions"][0].update(transition)
    return compiled(spec)


def assigning(expression: str, location: str = "age") -> Flow:
    return acting(on=[{"assign": {"location": location, "expr": expression}}])


async def said(flow: Flow, model: SessionModel, state: str, event: str, text: str) -> Entered:
    model.actor_input = text
    internal = event in flow.internal_events
    return await flow.send(state, model, event, text, internal=internal)


def fields(model: SessionModel) -> dict[str, Any]:
    return model.model_dump()


async def test_a_flow_like_any_other() -> None:
    flow = compiled(greet())
    assert (flow.key, flow.revision, flow.trusted, flow.description) == (
        "greet",
        1,
        False,
        "A test.",
    )
    model = flow.model.seed({})
    assert (await flow.start(model)).target == "intro"
    assert flow.next_actions("intro") == ["user_input"]
    assert flow.next_actions("extract") == []
    assert flow.ending_event("extract") == "ai_extraction"
    entered = await said(flow, model, "intro", "user_input", "I am Ada")
    assert (entered.target, entered.recording) == ("extract", Recording.RAW)
    assert flow.invokes("extract")
    entered = await said(flow, model, "extract", "ai_extraction", '{"name": "Ada"}')
    assert (entered.target, entered.recording) == ("welcome", Recording.RENDERED)
    assert fields(model)["user_name"] == '{"name": "Ada"}'


async def test_guards_decide() -> None:
    flow = compiled(greet())
    model = flow.model()
    entered = await said(flow, model, "extract", "ai_extraction", '{"name": "UNDEFINED"}')
    assert entered.target == "intro"
    # A failed invocation's empty input, and one that is no JSON: the member is null.
    assert (await said(flow, model, "extract", "ai_extraction", "")).target == "welcome"
    assert (await said(flow, model, "extract", "ai_extraction", "upper")).target == "welcome"


async def test_clients_never_end_an_invocation() -> None:
    flow = compiled(greet())
    with pytest.raises(EventNotAcceptedError):
        await flow.send("extract", flow.model(), "ai_extraction", "", internal=False)


@pytest.mark.parametrize(
    "event", ["nothing", "model", "_engine", "send", "states", "__class__", ""]
)
async def test_what_is_no_event_is_not_taken(event: str) -> None:
    flow = compiled(greet())
    with pytest.raises(EventNotAcceptedError) as caught:
        await flow.send("intro", flow.model(), event, "", internal=False)
    assert caught.value.extra["possible_events"] == ["user_input"]


async def test_no_guard_holds() -> None:
    flow = acting(cond="age > 18")
    with pytest.raises(EventNotAcceptedError):
        await said(flow, flow.model(), "intro", "user_input", "")
    assert (await said(flow, flow.model.seed({"age": 19}), "intro", "user_input", "")).target


@pytest.mark.parametrize(
    ("guards", "taken"),
    [
        ({"cond": ["age > 1", "age < 9"]}, True),
        ({"cond": ["age > 1", "age < 3"]}, False),
        ({"unless": "age == 5"}, False),
        ({"unless": ["age == 4", "user_name"]}, True),
        ({"cond": "age", "unless": "user_name == null"}, False),
    ],
)
async def test_guards_decide_whether_a_transition_is_taken(
    guards: dict[str, Any], taken: bool
) -> None:
    flow = acting(**guards)
    model = flow.model.seed({"age": 5})
    if taken:
        assert (await said(flow, model, "intro", "user_input", "")).target == "extract"
    else:
        with pytest.raises(EventNotAcceptedError):
            await said(flow, model, "intro", "user_input", "")


async def test_actions_run_in_order_and_ifs_branch() -> None:
    def note(text: str) -> dict[str, Any]:
        return {"assign": {"location": "notes", "expr": f"notes + ['{text}']"}}

    spec = greet()
    states = spec["statechart"]["states"]
    states["intro"]["exit"] = note("exit")
    states["extract"]["enter"] = [
        note("enter"),
        {
            "if": {
                "cond": "age > 5",
                "then": [note("old")],
                "elif": [{"cond": "age > 3", "then": note("middle")}],
                "else": note("young"),
            }
        },
    ]
    states["intro"]["transitions"][0].update(
        before=note("before"), on=note("on"), after=note("after")
    )
    flow = compiled(spec)
    for age, word in ((9, "old"), (4, "middle"), (1, "young")):
        model = flow.model.seed({"age": age})
        await said(flow, model, "intro", "user_input", "")
        assert fields(model)["notes"] == ["before", "exit", "on", "enter", word, "after"]


async def test_the_initial_state_acts_when_it_is_entered() -> None:
    spec = greet()
    action = {"assign": {"location": "age", "expr": "7"}}
    spec["statechart"]["states"]["intro"]["enter"] = action
    flow = compiled(spec)
    model = flow.model()
    await flow.start(model)
    assert fields(model)["age"] == 7


@pytest.mark.parametrize(
    ("expression", "location", "reason"),
    [
        ("'text'", "age", "field 'age' does not take the value: Input should be a valid integer"),
        ("actor_input", "notes", "valid list"),
        ("age + 1", "age", "null and a number do not go together"),
        ("parsed_actor_input.age + 1", "age", "a text and a number"),
        ("2 ** 63", "age", "out of range"),
        ("2 ** 63", "notes", "out of range"),
        ("[10.0 ** 308 * 10]", "notes", "out of range"),
        ("'x' * 200001", "user_name", "larger than"),
        ("[1] * 250000", "notes", "larger than"),
        ("1 / 0", "age", "division by zero"),
    ],
)
async def test_what_fails_is_a_conflict(expression: str, location: str, reason: str) -> None:
    flow = assigning(expression, location)
    model = flow.model()
    before = fields(model)
    with pytest.raises(EvaluationError, match=reason) as caught:
        await said(flow, model, "intro", "user_input", '{"age": "s3cret"}')
    assert caught.value.status == 409
    assert "s3cret" not in str(caught.value)
    assert caught.value.extra["current_state"] == "intro"
    assert fields(model) == before


async def test_a_value_cannot_grow_from_event_to_event() -> None:
    flow = assigning("[notes, notes]", "notes")
    model = flow.model.seed({"notes": ["x" * 100]})
    for _ in range(10):
        await said(flow, model, "intro", "user_input", "")
    with pytest.raises(EvaluationError, match="larger than"):
        await said(flow, model, "intro", "user_input", "")


async def test_expressions_of_one_event_have_an_end() -> None:
    long = "+".join(["notes"] * 20)
    flow = acting(cond=[f"{long} == {long}"] * 50)
    model = flow.model.seed({"notes": list(range(5000))})
    with pytest.raises(EvaluationError, match="take too long"):
        await said(flow, model, "intro", "user_input", "")


async def test_two_fields_never_share_a_value() -> None:
    flow = assigning("profile.notes", "notes")
    model = flow.model.seed({"profile": {"notes": [[1]]}})
    await said(flow, model, "intro", "user_input", "")
    assert fields(model)["notes"] == [[1]]
    assert model.notes[0] is not model.profile["notes"][0]  # type: ignore[attr-defined]  # made at run time


async def test_fields_named_like_the_librarys_own() -> None:
    spec = greet()
    names = ["event", "target", "transition", "states", "send_id", "prepare_event", "on_transition"]
    spec["model"].update({name: {"type": ["object", "string", "null"]} for name in names})
    cond = " and ".join(f"{name}.x == 1" for name in names)
    spec["statechart"]["states"]["intro"]["transitions"][0]["cond"] = cond
    flow = compiled(spec)
    model = flow.model.seed({name: {"x": 1} for name in names})
    assert (await said(flow, model, "intro", "user_input", "")).target == "extract"


NESTED: dict[str, Any] = {
    "model": {"age": {"type": "integer", "default": 0}},
    "statechart": {
        "states": {
            "outside": {"initial": True, "transitions": [{"event": "enter_it", "target": "outer"}]},
            "outer": {
                "enter": {"assign": {"location": "age", "expr": "age + 1"}},
                "transitions": [
                    {"event": "leave", "target": "outside"},
                    {"event": "inside", "target": "second", "internal": True},
                    {"event": "again", "target": "second"},
                    {"event": "note", "on": {"assign": {"location": "age", "expr": "age + 100"}}},
                ],
                "states": {
                    "first": {"transitions": [{"event": "on", "target": "middle"}]},
                    "middle": {
                        "initial": True,
                        "states": {
                            "second": {
                                "initial": True,
                                "transitions": [{"event": "leave", "target": "first"}],
                            }
                        },
                    },
                },
            },
        }
    },
    "templates": {"outside": "", "first": "", "second": ""},
}


async def test_states_inside_states_are_restored() -> None:
    flow = compiled(NESTED)
    model = flow.model()
    state = (await flow.start(model)).target
    path = []
    for event in ("enter_it", "inside", "again", "note", "leave", "on", "leave", "leave"):
        # Every event comes to a machine of its own, made from what is stored.
        model = flow.model.deserialize(model.serialize())
        state = (await said(flow, model, state, event, "")).target
        path.append((event, state, fields(model)["age"]))
    assert path == [
        ("enter_it", "outer middle second", 1),
        ("inside", "outer middle second", 1),
        ("again", "outer middle second", 2),
        ("note", "outer middle second", 102),
        ("leave", "outer first", 102),
        ("on", "outer middle second", 102),
        ("leave", "outer first", 102),
        ("leave", "outside", 102),
    ]
    assert flow.next_actions("outer middle second") == ["leave", "inside", "again", "note"]


async def test_transitions_without_events_are_taken_at_once() -> None:
    spec = greet()
    spec["statechart"]["states"]["route"] = {
        "transitions": [{"target": "welcome", "cond": "age > 18"}, {"target": "intro"}]
    }
    spec["templates"]["route"] = ""
    spec["statechart"]["states"]["intro"]["transitions"].append(
        {"event": "skip", "target": "route"}
    )
    flow = compiled(spec)
    assert (await said(flow, flow.model.seed({"age": 20}), "intro", "skip", "")).target == "welcome"
    assert (await said(flow, flow.model(), "intro", "skip", "")).target == "intro"


async def test_a_state_and_an_event_of_one_name() -> None:
    spec = greet()
    spec["statechart"]["states"]["intro"]["transitions"][0]["event"] = "extract intro"
    flow = compiled(spec)
    assert flow.next_actions("intro") == ["extract", "intro"]
    for event in ("extract", "intro"):
        assert (await said(flow, flow.model(), "intro", event, "")).target == "extract"


async def test_a_stored_state_that_is_gone() -> None:
    flow = compiled(greet())
    with pytest.raises(DefinitionMismatchError, match="'gone'"):
        await said(flow, flow.model(), "gone", "user_input", "")


def test_a_spec_that_cannot_be_loaded() -> None:
    with pytest.raises(DefinitionMismatchError, match=r"'greet' \(revision 4\) cannot be loaded"):
        compile_flow("greet", 4, {"statechart": {}, "templates": {}}, TrustedRenderer())


def test_traps_are_closed() -> None:
    machine = compiled(greet()).machine
    assert issubclass(machine, SessionMachine)
    assert not machine.catch_errors_as_events
    assert not machine.allow_event_without_transition
    assert machine.atomic_configuration_update


def test_templates_nest() -> None:
    leaf = {
        "invoke": "llm",
        "template": "x",
        "config": {"stream": False},
        "timeout": 2.5,
        "retries": 0,
    }
    value = {
        "queue": "slow",
        "template": {
            "chain": [
                "{{ a }}",
                {"parallel": {"one": leaf, "two": {"queue": "q", "template": "t"}}},
                {"map": {"over": "notes", "template": leaf, "index_field": "i"}},
            ]
        },
    }
    templates = compiled(changed("templates/extract", value)).templates
    call = Invoke("x", "llm", {"stream": False}, 2.5, 0)
    assert templates["intro"] == Render("What is your name?")
    assert templates["extract"] == Queue(
        "slow",
        Chain(
            (
                Invoke("{{ a }}", "verbatim"),
                Parallel({"one": call, "two": Queue("q", Invoke("t", "verbatim"))}),
                Map("notes", call, "i", "map_value"),
            )
        ),
    )


def compile_many(count: int, start: int) -> None:
    for index in range(start, start + count):
        spec = greet()
        state = spec["statechart"]["states"].pop("welcome")
        spec["statechart"]["states"][f"welcome_{index}"] = state
        spec["statechart"]["states"]["extract"]["transitions"][0]["target"] = f"welcome_{index}"
        spec["templates"][f"welcome_{index}"] = spec["templates"].pop("welcome")
        spec["model"][f"field_{index}"] = {"type": "string"}
        compile_flow("greet", index, spec, TrustedRenderer())


@pytest.mark.slow
def test_many_flows_leave_nothing_behind() -> None:
    compile_many(20, 0)
    gc.collect()
    before = len(gc.get_objects())
    compile_many(200, 20)
    gc.collect()
    # Bounded caches may fill; a flow has some two thousand objects.
    assert len(gc.get_objects()) - before < 20_000


def example(name: str) -> dict[str, Any]:
    (document,) = read_yaml((EXAMPLES / f"{name}.yaml").read_text())
    assert document["metadata"]["name"] == name
    spec: dict[str, Any] = document["spec"]
    return spec


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_examples_have_nothing_wrong(name: str) -> None:
    findings = check_flow(name, example(name), invokers=INVOKERS)
    assert not findings.errors
    assert not findings.warnings
    assert compile_flow(name, 1, example(name), TrustedRenderer()).key == name


async def test_booking_refuses_and_leads_back() -> None:
    flow = compiled(example("booking"))
    model = flow.model()
    assert (await flow.start(model)).target == "booking asking_guests"
    with pytest.raises(EventNotAcceptedError, match="tables for 1 to 8"):
        await said(flow, model, "booking asking_guests", "user_input", "9")
    entered = await said(flow, model, "booking asking_guests", "user_input", "4")
    assert entered.target == "booking asking_postcode"
    assert (await said(flow, model, entered.target, "question", "")).target == "answering"
    entered = await said(flow, model, "answering", "go_on", "")
    assert entered.target == "booking asking_postcode"
    assert [one.timer.event for one in entered.timers] == ["give_up"]
    with pytest.raises(EventNotAcceptedError, match="like 3511 AB"):
        await said(flow, model, entered.target, "user_input", "Utrecht")
    entered = await said(flow, model, entered.target, "user_input", "3511 AB")
    assert (entered.target, fields(model)["guests"]) == ("booked", 4)


async def test_capture_asks_again_and_gives_up() -> None:
    flow = compiled(example("capture"))
    model = flow.model()
    state = (await flow.start(model)).target
    path = []
    for text in ('{"name": "UNDEFINED"}', '{"name": "Ada", "age": 200}', "neither"):
        await said(flow, model, state, "user_input", text)
        state = (await said(flow, model, "extract", "extracted", text)).target
        path.append(state)
    assert path == ["retry", "retry", "given_up"]
    model = flow.model()
    text = '{"name": "Ada", "age": 36}'
    assert (await said(flow, model, "extract", "extracted", text)).target == "welcome"
    assert fields(model) == {"user_name": "Ada", "age": 36, "attempts": 0}


async def test_research_runs_in_the_sandbox() -> None:
    async with SandboxRenderer(SandboxLimits(wall_seconds=10)) as renderer:
        flow = compile_flow("research", 1, example("research"), renderer)
        model = flow.model()
        planning = flow.node("planning")
        assert isinstance(planning, Invoke)
        plan = await renderer.render(planning.text, {"actor_input": " bees, ,ants"})
        assert (await said(flow, model, "planning", "planned", plan)).target == "researching"
        assert fields(model)["topics"] == ["bees", "ants"]
        graph = Graph(flow.node("researching"), fields(model), select)
        leaves = [step.path for step in graph.start().steps if step.kind == "leaf"]
        assert leaves == ["/0/0", "/0/1"]
        report = '{"findings": ["they sting", "they march"], "summary": "small"}'
        assert (await said(flow, model, "researching", "researched", report)).target == "reporting"
        shown = flow.template("reporting")
        assert isinstance(shown, Render)
        text = await renderer.render(shown.text, fields(model))
    assert text == "## bees\nthey sting\n## ants\nthey march\nsmall"


@pytest.mark.parametrize("text", ["", '{"topics": []}', "[]", "text"])
async def test_research_goes_on_when_steps_fail(text: str) -> None:
    flow = compiled(example("research"))
    model = flow.model()
    assert (await said(flow, model, "planning", "planned", text)).target == "briefing"
    assert (await said(flow, model, "researching", "researched", text)).target == "unfinished"
