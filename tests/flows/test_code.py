"""Loading packages of flows in code: what is found, and that all faults are told at once."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.enums import ActionExpiry, Approvers
from app.errors import FlowPackageError
from app.flows.code.folder import TemplateFolder
from app.flows.code.package import load_package
from app.flows.code.templates import CodeTemplateReader
from app.flows.findings import Findings
from app.flows.library import code_flows
from app.flows.manifest.compile import check_flow
from app.flows.model.versioned import registered_model
from app.flows.template import (
    Ask,
    Call,
    Chain,
    Invoke,
    Map,
    Parallel,
    Queue,
    Render,
    RetryPolicy,
)
from tests.flows.specs import INVOKERS, changed
from tests.support.flows import WritePackage

FLOW = """
    from app.flows import *

    class {name}Machine(SessionMachine):
        asking = State(initial=True)
        working = State()
        go = asking.to(working)
        done = working.to(asking)
        templates = {templates}

    class {name}(SessionModel):
        machine = {name}Machine
"""


def flow(
    name: str = "Flow", asking: str = "Render('hi')", working: str = "Invoke('x', 'echo')"
) -> str:
    return FLOW.format(name=name, templates=f"{{'asking': {asking}, 'working': {working}}}")


def faults_of(package: str, taken: frozenset[str] = frozenset()) -> list[str]:
    with pytest.raises(FlowPackageError) as caught:
        load_package(package, taken)
    for fault in caught.value.faults:
        assert fault in str(caught.value)
    return caught.value.faults


def test_every_model_with_a_machine_is_a_flow(write_package: WritePackage) -> None:
    package = write_package(
        {
            "__init__.py": flow("QARound") + "        '''Says hello.\n\n        And more.'''\n",
            "below/__init__.py": "",
            "below/more.py": flow("Second")
            + "        key = 'second-best'\n"
            + "    class Plain(SessionModel):\n        x: int = 1\n"
            + "    class StoredValue(VersionedModel):\n        x: int = 1\n",
        }
    )
    flows = load_package(package)
    assert sorted(flows) == ["qa_round", "second-best"]
    assert {flow.revision for flow in flows.values()} == {0}
    assert all(flow.trusted for flow in flows.values())
    assert registered_model("StoredValue").model_fields.keys() == {"x"}


_MACHINE = """
from app.flows import Render, SessionMachine, SessionModel, State


class Machine(SessionMachine):
    a = State(initial=True)
    b = State()
    go = a.to(b) | b.to(a)
    templates = {{"a": Render("a"), "b": Render("b")}}

    {kind} on_enter_b(self) -> None:
        self.say("assistant", "entered")


class {model}(SessionModel):
    machine = Machine
"""


async def test_hooks_of_one_name_are_each_its_own(write_package: WritePackage) -> None:
    """Two modules may call their classes and hooks alike, of which one is async."""
    first = _MACHINE.format(kind="def", model="First")
    second = _MACHINE.format(kind="async def", model="Second")
    flows = load_package(write_package({"first.py": first, "second.py": second}))
    for flow in flows.values():
        entered = await flow.send("a", flow.model(), "go", "", internal=False)
        assert (entered.target, entered.messages) == ("b", [("assistant", "entered")])
    assert sorted(flows) == ["first", "second"]


def test_the_flows_of_the_product_are_there_too(write_package: WritePackage) -> None:
    assert sorted(code_flows(write_package({"a.py": flow("Mine")}))) == ["chat", "mine"]
    assert sorted(code_flows()) == ["chat"]


def test_templates_come_from_files_and_trees(write_package: WritePackage) -> None:
    package = write_package(
        {
            "templates/meta.yaml": "renderer: {type: jinja}\ntimeout: 5",
            "templates/hello.jinja2": "Hello {% include 'parts/name.jinja2' %}",
            "templates/parts/name.jinja2": "{{ name }}",
            "templates/ai/meta.yaml": "invoker: {type: echo, delay_seconds: 1}\nretries: 2",
            "templates/ai/ask.jinja2": "ask",
            "templates/ai/slow/meta.yaml": "invoker: {delay_seconds: 2}\ntimeout: 50",
            "templates/ai/slow/ask.jinja2": "slowly",
            "machine.py": "def work(data): return 1\n"
            + flow(
                asking="'hello.jinja2'",
                working="""['ai/ask.jinja2', {'parallel': {'a': 'ai/slow/ask.jinja2', 'b': work}},
                    {'map': {'over': 'x', 'template': 'hello.jinja2', 'value_field': 'v'}},
                    {'queue': 'gpu', 'template': {'invoke': 'llm', 'template': 'T', 'retries': 0}},
                    {'ask': {'message': 'How much?', 'schema': {'type': 'number'}}},
                    Ask('Who?', {}, 60, 'cancel', 'owner'),
                    Chain(('ai/ask.jinja2', Map('y', {'call': 'json.dumps'})))]""",
            ).replace("\n    ", "\n"),
        }
    )
    templates = load_package(package)["flow"].templates
    hello = "Hello {% include 'parts/name.jinja2' %}"
    ask = Invoke("ask", "echo", {"delay_seconds": 1}, 5, 2)
    assert templates["asking"] == Render(hello)
    assert templates["working"] == Chain(
        (
            ask,
            Parallel(
                {
                    "a": Invoke("slowly", "echo", {"delay_seconds": 2}, 50, 2),
                    "b": Call(sys.modules[f"{package}.machine"].work),
                }
            ),
            Map("x", Invoke(hello, "verbatim"), "map_index", "v"),
            Queue("gpu", Invoke("T", "llm", {}, None, 0)),
            Ask("How much?", {"type": "number"}),
            Ask("Who?", {}, 60, ActionExpiry.CANCEL, Approvers.OWNER),
            Chain((ask, Map("y", Call(json.dumps)))),
        )
    )


def test_all_faults_are_told_at_once(write_package: WritePackage) -> None:
    package = write_package(
        {
            "templates/plain.jinja2": "x",
            "templates/both/meta.yaml": "invoker: {type: echo}\nrenderer: {type: jinja}",
            "templates/both/x.jinja2": "x",
            "templates/odd/meta.yaml": "renderer: {type: mako}\nextra: 1",
            "templates/odd/x.jinja2": "x",
            "templates/yaml/meta.yaml": "{",
            "templates/yaml/x.jinja2": "x",
            "templates/lost/meta.yaml": "invoker: {type: no.such.Invoker}",
            "templates/lost/x.jinja2": "x",
            "templates/untyped/meta.yaml": "invoker: {temperature: 1}",
            "templates/untyped/x.jinja2": "x",
            "templates/fine/meta.yaml": "renderer: {type: jinja}",
            "templates/fine/broken.jinja2": "one\n{% if %}",
            "templates/fine/includes.jinja2": "{% include 'fine/broken.jinja2' %}",
            "templates/fine/misses.jinja2": "{% include 'fine/gone.jinja2' %}",
            "a.py": flow("Agents", "'both/x.jinja2'", "['odd/x.jinja2', 'yaml/x.jinja2']"),
            "b.py": flow("Chat", "'nowhere.jinja2'", "['lost/x.jinja2', 'untyped/x.jinja2', []]"),
            "c.py": flow("Twice", "'fine/broken.jinja2'", "'plain.jinja2'"),
            "d.py": flow("Twice", "'fine/includes.jinja2'", "'fine/misses.jinja2'"),
            "e.py": flow("Trees", "Render('{{ x')", "{'map': {'over': 'a[', 'template': 7}}"),
            "f.py": flow(
                "More", "Render('x')", "[{'a': 'b'}, {'call': 'json.nothing'}, {'parallel': {}}]"
            ),
            "g.py": flow("File", "Render('x')", "{'invoke': 'echo', 'template': 'plain.jinja2'}"),
            "h.py": "import nothing_like_it",
            "i.py": "from app.flows import *\n"
            "class Other(SessionModel):\n    machine = int\n    key = 'No!'",
            "j.py": "1 +",
        }
    )
    found = faults_of(package, frozenset({"chat"}))

    def is_found(*parts: str) -> bool:
        return any(all(part in fault for part in parts) for fault in found)

    assert is_found(".a.Agents", "'agents' is reserved")
    assert is_found("both/meta.yaml", "both an invoker and a renderer")
    assert is_found("odd/meta.yaml", "renderer.type")
    assert is_found("odd/meta.yaml", "extra")
    assert is_found("yaml/meta.yaml", "not YAML")
    assert is_found(".b.Chat", "'chat' is taken by a flow of the product")
    assert is_found("b.ChatMachine, state 'asking'", "no template 'nowhere.jinja2'")
    assert is_found("lost/meta.yaml", "no.such.Invoker")
    assert is_found("untyped/meta.yaml", "no type")
    assert is_found("b.ChatMachine, state 'working', chain 2", "empty")
    assert is_found("templates/fine/broken.jinja2, line 2")
    assert is_found("templates/plain.jinja2", "neither an invoker nor a renderer")
    assert is_found(".d.Twice", "'twice' is taken by", ".c.Twice")
    assert is_found("fine/misses.jinja2", "gone.jinja2")
    assert is_found("e.TreesMachine, state 'asking'", "line 1")
    assert is_found("e.TreesMachine, state 'working'", "map, over", "is not a JMESPath")
    assert is_found("e.TreesMachine, state 'working', map", "a int is no template")
    assert is_found("f.MoreMachine, state 'working', chain 0", "chain, parallel, map, queue")
    assert is_found("f.MoreMachine, state 'working', chain 1", "json.nothing")
    assert is_found("f.MoreMachine, state 'working', chain 2", "nothing is parallel")
    assert is_found("g.FileMachine, state 'working'", "is a file")
    assert is_found(".h:", "ModuleNotFoundError", "h.py, line 1")
    assert is_found(".i.Other", "no subclass of SessionMachine")
    assert is_found(".i.Other", "'No!'", "does not match")
    assert is_found(".j:", "SyntaxError")
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "template",
    [
        {"invoke": "echo", "template": "x", "retries": 21},
        {"invoke": "echo", "template": "x", "retries": True},
        {"invoke": "echo", "template": "x", "timeout": 3601},
        {"invoke": "echo", "template": "x", "timeout": "9"},
        {"invoke": "echo", "template": "x" * 50_001},
        {"invoke": "echo", "template": "x", "config": []},
        {"invoke": "echo", "template": "x", "tries": 1},
        {"invoke": "echo", "template": "x", "retry": {"on": ["never"]}},
        {"invoke": "echo", "template": "x", "retries": 1, "retry": {}},
        {"invoke": "", "template": "x"},
        {"chain": {}},
        {"chain": [{"parallel": {}}]},
        {"parallel": []},
        {"parallel": {f"k{i}": {"invoke": "echo", "template": "x"} for i in range(500)}},
        {"map": {"over": "a[", "template": {"invoke": "echo", "template": "x"}}},
        {"map": {"over": "a" * 1001, "template": {"invoke": "echo", "template": "x"}}},
        {"map": {"over": "a", "template": {"invoke": "", "template": ""}, "index_field": "a b"}},
        {"queue": "a b", "template": {"invoke": "echo", "template": "x"}},
        {"ask": {"message": "x", "schema": {"type": "money"}, "expires": -1, "more": 1}},
    ],
)
def test_code_and_manifests_have_one_grammar(
    write_package: WritePackage, template: dict[str, Any]
) -> None:
    findings = check_flow("greet", changed("templates/extract", template), invokers=INVOKERS)
    declared = [(fault["loc"][3:], fault["msg"]) for fault in findings.errors]
    found = Findings()
    folder = TemplateFolder(Path(write_package({"a.py": ""})), found)
    CodeTemplateReader(folder, found).read(template, ())
    assert [(fault["loc"], fault["msg"]) for fault in found.errors] == declared
    assert declared


def test_templates_that_hold_themselves_are_refused(write_package: WritePackage) -> None:
    source = "loop = []\nloop.append(loop)\n" + flow(working="loop").replace("\n    ", "\n")
    (fault, *_) = faults_of(write_package({"a.py": source}))
    assert "templates nest too deep" in fault


def test_retry_policies_of_code_and_folders(write_package: WritePackage) -> None:
    files = {
        "templates/meta.yaml": "invoker: {type: echo}\nretry: {maximum_attempts: 3}",
        "templates/x.jinja2": "x",
        "templates/own/meta.yaml": "retries: 7",
        "templates/own/x.jinja2": "x",
        "a.py": flow(
            working="['x.jinja2', 'own/x.jinja2', Invoke('T', 'echo', retry=RetryPolicy(\n"
            "        initial_interval=0.5, on=(429, '5XX')))]"
        ),
    }
    working = load_package(write_package(files))["flow"].templates["working"]
    assert isinstance(working, Chain)
    assert working.parts == (
        Invoke("x", "echo", retry=RetryPolicy(3)),
        Invoke("x", "echo", retries=7),
        Invoke("T", "echo", retry=RetryPolicy(initial_interval=0.5, on=("429", "5xx"))),
    )


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("retries: 21", "retries"),
        ("timeout: 3601", "timeout"),
        ("timeout: 0", "timeout"),
        ("retry: 3", "retry"),
        ("retry: {maximum_attempts: 0}", "retry, maximum_attempts"),
    ],
)
def test_a_folder_has_the_limits_of_templates(
    write_package: WritePackage, line: str, place: str
) -> None:
    files = {
        "templates/meta.yaml": f"invoker: {{type: echo}}\n{line}",
        "templates/x.jinja2": "x",
        "a.py": flow(working="'x.jinja2'"),
    }
    (fault,) = faults_of(write_package(files))
    assert fault.startswith(f"templates/meta.yaml, {place}: ")


def test_faults_of_statecharts_are_told_together(write_package: WritePackage) -> None:
    package = write_package(
        {
            "a.py": """
                from app.flows import *

                class M(SessionMachine):
                    a = State(initial=True, value=1)
                    b = State(value=1)
                    c = State(value=3)
                    d = State(final=True)
                    e = State(final=True)
                    go = a.to(b) | b.to(c) | c.to(d)
                    poll = a.to(e)
                    templates = {"a": Render("a"), "b": Invoke("b", "echo"), "x": Render(""),
                                 "d": Invoke("", "echo")}

                class Model(SessionModel):
                    machine = M
            """
        }
    )
    place = f"{package}.a.M"
    assert sorted(faults_of(package)) == sorted(
        [
            f"{place}: states 'a' and 'b' both have value 1",
            f"{place}: state 'c' has no template",
            f"{place}: state 'e' has no template",
            f"{place}: template 'x' is for no state",
            f"{place}: no event leaves the invoker state 'd'",
            f"{place}: state 'a': an event cannot be named 'poll'",
            f"{place}: event 'go' ends the invocation of state 'b', so no client can send it in"
            " state 'a'",
        ]
    )


def test_a_flow_in_which_a_failure_has_nowhere_to_lead_is_refused(
    write_package: WritePackage,
) -> None:
    package = write_package(
        {
            "a.py": """
                from app.flows import *

                class M(SessionMachine):
                    class outer(State.Compound):
                        a = State(initial=True)
                    b = State()
                    one = outer.to(b)
                    two = b.to(outer)
                    templates = {"a": Invoke("a", "echo"), "b": Invoke("b", "echo")}

                class Model(SessionModel):
                    machine = M
            """
        }
    )
    reason = "every state invokes something; one has to wait, or be the end"
    assert faults_of(package) == [f"{package}.a.M: {reason}"]


@pytest.mark.parametrize("ends", [True, False])
def test_the_event_error_is_for_failures_wherever_it_stands(
    write_package: WritePackage,
    *,
    ends: bool,
) -> None:
    package = write_package(
        {
            "a.py": f"""
                from app.flows import *

                class M(SessionMachine):
                    a = State(initial=True)
                    b = State()
                    error = b.to(a) | a.to(b)
                    {"done = b.to(a)" if ends else ""}
                    templates = {{"a": Render("a"), "b": Invoke("b", "echo")}}

                class Model(SessionModel):
                    machine = M
            """,
        }
    )
    if ends:
        assert load_package(package)["model"].ending_event("b") == "done"
    else:
        assert faults_of(package) == [f"{package}.a.M: no event leaves the invoker state 'b'"]


def test_what_a_session_could_not_be_put_back_into_is_refused(write_package: WritePackage) -> None:
    package = write_package(
        {
            "a.py": """
                from app.flows import *
                from statemachine import Event, HistoryState

                class M(SessionMachine):
                    class p(State.Parallel):
                        class l(State.Compound):
                            l1 = State(initial=True)
                            l2 = State(final=True)
                            h = HistoryState()
                            on_l = l1.to(l2)
                        class r(State.Compound):
                            r1 = State(initial=True)
                            r2 = State(final=True)
                            on_r = r1.to(r2)
                    e = State(invoke=lambda: None)
                    late = Event(p.to(e), delay=1500)
                    back = e.to(p)
                    templates = {name: Render("") for name in ("l1", "l2", "r1", "r2", "e")}

                class Model(SessionModel):
                    machine = M

                class N(SessionMachine):
                    a = State(initial=True)
                    b = State()
                    go = a.to(b, cond="no_such")
                    back = b.to(a)
                    templates = {
                        "a": Render(""),
                        "b": [
                            {"invoke": "no.such.Invoker", "template": ""},
                            {"map": {"over": "x", "template": {"invoke": "echo", "template": ""},
                                     "index_field": "i", "value_field": "i"}},
                        ],
                    }

                class Other(SessionModel):
                    machine = N

                class Needy(SessionModel):
                    machine = N
                    name: str
            """
        }
    )
    found = faults_of(package)

    def is_found(*parts: str) -> bool:
        return any(all(part in fault for part in parts) for fault in found)

    assert is_found("a.M: state 'p': parallel states are not supported")
    assert is_found("a.M: state 'h': history states are not supported")
    assert is_found("a.M: state 'e': ", "`invoke` is not supported")
    assert is_found("a.M: event 'late': delayed events are not supported")
    assert is_found("a.Other: ", "no_such")
    assert is_found("a.N, state 'b', chain 0", "no.such.Invoker")
    assert is_found("a.N, state 'b', chain 1", "index and value cannot both be 'i'")
    assert is_found("a.Needy: every field needs a default: name")


def test_timers_of_code_are_checked(write_package: WritePackage) -> None:
    package = write_package(
        {
            "a.py": """
                from app.flows import *

                class M(SessionMachine):
                    a = State(initial=True)
                    b = State()
                    c = State(final=True)
                    go = a.to(b)
                    done = b.to(c)
                    templates = {
                        "a": Render(""),
                        "b": {"invoke": "echo", "template": ""},
                        "c": Render(""),
                    }
                    timers = {
                        "a": [Timer("go", 0.5), Timer("nothing", 5)],
                        "b": [Timer("done", 5)],
                        "c": [Timer("go", 5)],
                        "d": [Timer("go", 5)],
                    }

                class Model(SessionModel):
                    machine = M
            """
        }
    )
    found = "\n".join(faults_of(package))

    assert "a timer of state 'a': seconds must be from 1 second to 366 days" in found
    assert "state 'a' does not take 'nothing' of its timer" in found
    for state in "bcd":
        assert f"timers of '{state}': that is no state that waits" in found


def test_a_package_that_is_not_there() -> None:
    (fault,) = faults_of("no_such_package_of_flows")
    assert "No module named 'no_such_package_of_flows'" in fault


def test_stored_values_of_one_name(write_package: WritePackage) -> None:
    value = "from app.flows import *\nclass SameName(VersionedModel):\n    x: int = 1\n"
    (fault,) = faults_of(write_package({"a.py": value, "b.py": value}))
    assert "two models are named SameName" in fault


def test_templates_of_a_package_inside_win(write_package: WritePackage) -> None:
    meta = "renderer: {type: jinja}"
    files = {
        "templates/meta.yaml": meta,
        "templates/hi.jinja2": "outer",
        "one.py": flow("One", "'hi.jinja2'"),
        "sub/__init__.py": flow("Two", "'hi.jinja2'"),
        "sub/templates/meta.yaml": meta,
        "sub/templates/hi.jinja2": "inner",
        "other/__init__.py": "",
        "other/three.py": flow("Three", "'hi.jinja2'"),
    }
    flows = load_package(write_package(files))
    shown = {key: flow.templates["asking"] for key, flow in flows.items()}
    assert shown == {"one": Render("outer"), "two": Render("inner"), "three": Render("outer")}


def test_the_command_tells_all_faults_and_no_traceback(
    write_package: WritePackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_package({"a.py": flow("Agents", working="'x.jinja2'")})
    monkeypatch.setenv("STATEWRIGHT_FLOWS_PACKAGE", package)
    monkeypatch.setenv("STATEWRIGHT_DEV", "true")
    for command in ("api", "worker"):
        result = CliRunner().invoke(app, [command])
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert f"The flows in '{package}' cannot be served:\n" in result.output
        assert "key 'agents' is reserved\n" in result.output
        assert "there is no template 'x.jinja2'" in result.output


@pytest.mark.parametrize(
    ("transitions", "circle"),
    [
        ("b.to(c); c.to(b)", "b → c → b"),
        ("b.to(c); c.to(b, cond='never')", "b → c → b"),
        ("b.to.itself()", "b → b"),
        ("b.to(c); c.to(d); d.to(b)", "b → c → d → b"),
    ],
)
def test_transitions_without_events_that_go_round_are_refused(
    write_package: WritePackage, transitions: str, circle: str
) -> None:
    fault = f"transitions without events go round for ever: {circle}"
    assert any(fault in found for found in faults_of(_circling(write_package, transitions)))


def test_transitions_without_events_that_come_to_an_end_are_taken(
    write_package: WritePackage,
) -> None:
    load_package(_circling(write_package, "b.to(c); c.to(d)"))


def _circling(write_package: WritePackage, transitions: str) -> str:
    return write_package(
        {
            "__init__.py": f"""
    from app.flows import *

    class CircleMachine(SessionMachine):
        a = State(initial=True); b = State(); c = State(); d = State()
        go = a.to(b); back = b.to(a) | c.to(a) | d.to(a); on = a.to(c) | a.to(d)
        {transitions}
        templates = dict.fromkeys("abcd", Render("x"))

        def never(self):
            return False

    class Circle(SessionModel):
        machine = CircleMachine
"""
        }
    )


def test_what_can_never_work_is_refused(write_package: WritePackage) -> None:
    package = write_package(
        {
            "a.py": """
                from app.flows import *

                class M(SessionMachine):
                    asks = State(initial=True)
                    works = State()
                    skips = State()
                    go = asks.to(works) | asks.to(skips)
                    cancel = works.to(asks)
                    done = works.to(asks)
                    error = works.to(asks)
                    error_execution = asks.to(asks)
                    asks.to(works, event="*")
                    went = skips.to(asks)
                    skips.to(asks, cond="at_once")
                    templates = {
                        "asks": Render(""),
                        "works": Invoke("", "echo"),
                        "skips": Invoke("", "echo"),
                    }

                    def at_once(self):
                        return True

                class Model(SessionModel):
                    machine = M
                    user_info: dict = {}
            """
        }
    )
    sent = "invoker state 'works' is sent only 'cancel', its first event, and 'error'"
    assert set(faults_of(package)) == {
        f"{package}.a.M: {sent}: never 'done'",
        f"{package}.a.M: state 'asks': no event 'error_execution' is ever sent in a flow",
        f"{package}.a.M: state 'asks': no event '*' is ever sent in a flow",
        f"{package}.a.M: invoker state 'skips' is left by its event only, not by itself",
        f"{package}.a.Model: field 'user_info': the service sets one of this name, and stores none",
    }


def test_a_package_without_flows_is_refused(write_package: WritePackage) -> None:
    package = write_package({"a.py": "from app.flows import SessionModel\n"})
    assert faults_of(package) == [f"{package}: has no flow: no SessionModel in it has a machine"]
