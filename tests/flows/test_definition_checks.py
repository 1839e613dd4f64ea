"""Every fault of a flow's spec is told, with its place."""

import time
from typing import Any

import pytest

from app.flows.findings import Findings
from app.flows.manifest.compile import check_flow, check_flow_async
from tests.flows.specs import INVOKERS, changed, greet, without

S = "spec/statechart/states/"
T = "spec/templates/"
ENDLESS: dict[str, Any] = {"transitions": [{"target": "intro"}]}
ASK: dict[str, Any] = {"message": "How much?", "schema": {"type": "number"}}


def check(spec: object, key: str = "greet") -> Findings:
    return check_flow(key, spec, invokers=INVOKERS)


def nested(depth: int) -> dict[str, Any]:
    """A JSON Schema of objects within objects."""
    return {} if depth == 0 else {"properties": {"x": nested(depth - 1)}}


def located(faults: list[Any]) -> list[tuple[str, str]]:
    return [("/".join(map(str, fault["loc"])), fault["msg"]) for fault in faults]


def test_a_flow_without_faults_has_no_findings() -> None:
    assert check(greet()) == Findings()
    assert check(without("model/profile")) == Findings()


@pytest.mark.parametrize(
    ("path", "value", "place", "reason"),
    [
        # the model
        ("model", [], "spec/model", "must be an object"),
        ("model/user_name", {"type": "text"}, "spec/model/user_name/type", "must be one or"),
        ("model/session_id", {"type": "string"}, "spec/model/session_id", "reserved"),
        ("model/age", {"type": "integer", "default": "x"}, "spec/model/age/default", "integer"),
        ("model/profile", {"type": "object", "required": [[]]}, None, "list of names"),
        # the statechart
        ("statechart", "a.yaml", "spec/statechart", "must be an object"),
        ("statechart/states", {}, "spec/statechart/states", "exactly one state"),
        ("statechart/states", None, "spec/statechart/states", "must be an object"),
        ("statechart/datamodel", {"x": 1}, "spec/statechart/datamodel", "declared in `model`"),
        ("statechart/name", 3, "spec/statechart/name", "must be a text"),
        ("statechart/extra", 3, "spec/statechart/extra", "not known here"),
        ("statechart/states/intro/initial", False, S[:-1], "exactly one state"),
        ("statechart/states/extract/initial", True, S[:-1], "exactly one state"),
        ("statechart/states/intro/initial", "yes", S + "intro/initial", "true or false"),
        ("statechart/states/intro", 3, S + "intro", "must be an object"),
        ("statechart/states/intro/type", "x", S + "intro/type", "not known here"),
        ("statechart/states/intro/parallel", True, S + "intro/parallel", "not supported"),
        ("statechart/states/intro/history", {}, S + "intro/history", "not supported"),
        ("statechart/states/intro/invoke", {"src": "x"}, S + "intro/invoke", "no place"),
        ("statechart/states/intro/donedata", {}, S + "intro/donedata", "no use"),
        ("statechart/states/welcome/transitions", [{"event": "a"}], S + "welcome", "final state"),
        ("statechart/states/send", {"final": True}, S + "send", "reserved"),
        ("statechart/states/configuration", {"final": True}, S + "configuration", "reserved"),
        ("statechart/states/on_enter_intro", {"final": True}, S + "on_enter_intro", "reserved"),
        ("statechart/states/model", {"final": True}, S + "model", "reserved"),
        ("statechart/states/a b", {"final": True}, S + "a b", "the id of a state"),
        ("statechart/states/_x", {"final": True}, S + "_x", "the id of a state"),
        ("statechart/states/orphan", {"final": True}, S + "orphan", "has no template"),
        ("statechart/states/intro/transitions", {}, S + "intro/transitions", "must be a list"),
        ("statechart/states/intro/transitions/0", [], S + "intro/transitions/0", "an object"),
        (
            "statechart/states/extract/states",
            {"intro": {"initial": True}},
            S + "extract/states/intro",
            "another state has this id",
        ),
    ],
)
def test_a_fault_of_model_or_states_is_found_at_its_place(
    path: str, value: Any, place: str | None, reason: str
) -> None:
    found = located(check(changed(path, value)).errors)
    assert any(where == (place or where) and reason in message for where, message in found), found


@pytest.mark.parametrize(
    ("timers", "place", "reason"),
    [
        ({"-1s": "user_input"}, "/-1s", "must be a duration"),
        ({"1e9h": "user_input"}, "/1e9h", "must be a duration"),
        ({"NaN": "user_input"}, "/NaN", "must be a duration"),
        ({"": "user_input"}, "/", "must be a duration"),
        ({"0s": "user_input"}, "/0s", "from 1 second to 366 days"),
        ({"999ms": "user_input"}, "/999ms", "from 1 second to 366 days"),
        ({"367d": "user_input"}, "/367d", "from 1 second to 366 days"),
        ({"999999999999w": "user_input"}, "/999999999999w", "from 1 second to 366 days"),
        ({"9" * 13 + "s": "user_input"}, f"/{'9' * 13}s", "must be a duration"),
        ({"{{ age }}h": "user_input"}, "/{{ age }}h", "must be a duration"),
        ({"1h": "*"}, "/1h", "is taken on it"),
        ({"1h": "unknown"}, "/1h", "is taken on it"),
        ({"1h": ["user_input"]}, "/1h", "the name of an event"),
        ({"1h": {"event": "user_input"}}, "/1h", "the name of an event"),
        ({"1h": "ai_extraction"}, "/1h", "ends the invocation of 'extract'"),
        ({"1h": "error"}, "/1h", "only for failures"),
        ([{"delay": -1, "event": "user_input"}], "/0/delay", "from 1 second"),
        ([{"delay": float("inf"), "event": "user_input"}], "/0/delay", "finite"),
        ([{"delay": 10**15, "event": "user_input"}], "/0/delay", "from 1 second"),
        ([{"delay": True, "event": "user_input"}], "/0/delay", "must be a duration"),
        ([{"event": "user_input"}], "/0/delay", "must be a duration"),
        ([{"delay": "1h"}], "/0/event", "the name of an event"),
        ([{"delay": "1h", "event": "x", "target": "intro"}], "/0/target", "not known here"),
        ([{"delay": "1h", "event": "user_input"}] * 11, "", "at most 10 timers"),
        ("1h", "", "must be an object"),
    ],
)
def test_a_fault_of_a_timer_is_found_at_its_place(timers: Any, place: str, reason: str) -> None:
    found = located(check(changed("statechart/states/intro/after", timers)).errors)

    assert any(
        where == f"{S}intro/after{place}" and reason in message for where, message in found
    ), found


def test_a_timer_is_of_a_state_that_waits() -> None:
    for state, reason in (("extract", "give its template a `timeout`"), ("welcome", "final state")):
        spec = changed(f"statechart/states/{state}/after", {"1h": "user_input"})
        assert any(
            where == f"{S}{state}/after" and reason in message
            for where, message in located(check(spec).errors)
        )


def test_the_timers_that_run_at_once_are_bounded() -> None:
    ten = [{"delay": 60, "event": "user_input"}] * 10
    inner: dict[str, Any] = {"transitions": [{"event": "user_input", "target": "extract"}]}
    for level in range(6):
        inner = {"after": ten, "states": {f"s{level}": inner | {"initial": True}}}
    spec = changed("statechart/states/outer", inner)
    spec["templates"]["s0"] = "x"

    assert any("more than 50 timers" in text for _, text in located(check(spec).errors))


def test_durations_may_be_written_in_several_ways() -> None:
    timers = [{"delay": delay, "event": "user_input"} for delay in (1, "90", "1h30m", "1.5d", "2w")]
    assert check(changed("statechart/states/intro/after", timers)) == Findings()


@pytest.mark.parametrize(
    ("transition", "reason"),
    [
        ({"event": "user_input", "refusal": "No."}, "without a guard"),
        ({"cond": "age > 3", "refusal": "No."}, "without an event"),
    ],
)
def test_a_refusal_is_of_a_guard_and_an_event(transition: dict[str, Any], reason: str) -> None:
    place = "statechart/states/intro/transitions/0"
    found = located(check(changed(place, transition | {"target": "extract"})).errors)

    assert found[0][0] == f"spec/{place}/refusal"
    assert reason in found[0][1]


@pytest.mark.parametrize(
    ("key", "value", "place", "reason"),
    [
        ("target", "nowhere", "target", "there is no state 'nowhere'"),
        ("target", "intro extract", "target", "there is no state"),
        ("target", 3, "target", "must be the id"),
        ("event", 3, "event", "name of an event"),
        ("event", "", "event", "name of an event"),
        ("event", "a.b", "event", "name of an event"),
        ("event", "*", "event", "name of an event"),
        ("event", "__initial__", "event", "name of an event"),
        ("event", "poll", "event", "reserved"),
        ("event", "send", "event", "reserved"),
        ("event", "on_enter_intro", "event", "reserved"),
        ("initial", True, "initial", "not known here"),
        ("internal", 1, "internal", "true or false"),
        ("internal", True, "internal", "leads to the state itself"),
        ("cond", "is_ready", "cond", "'is_ready' is not known here"),
        ("cond", "session_id", "cond", "'session_id' is not known here"),
        ("cond", "user_name.upper() == 'X'", "cond", "nothing can be called"),
        ("cond", ["age > 1", "age >"], "cond/1", "not a valid expression"),
        ("cond", True, "cond", "must be an expression"),
        ("unless", "()()", "unless", "called"),
        ("refusal", "", "refusal", "1 to 500 characters"),
        ("refusal", "x" * 501, "refusal", "1 to 500 characters"),
        ("refusal", {"en": "No."}, "refusal", "1 to 500 characters"),
        ("validators", "x", "validators", "not known here"),
        ("on", "do_it", "on", "methods cannot be named"),
        ("before", ["do_it"], "before/0", "methods cannot be named"),
        ("after", 3, "after", "must be an object"),
        ("on", [{"script": "import os"}], "on/0/script", "never run"),
        ("on", [{"raise": "x"}], "on/0/raise", "not supported"),
        ("on", [{"send": {"event": "x"}}], "on/0/send", "not supported"),
        ("on", [{"log": "x"}], "on/0/log", "not supported"),
        ("on", [{"foreach": {}}], "on/0/foreach", "loops"),
        ("on", [{"nonsense": {}}], "on/0/nonsense", "not known here"),
        ("on", [{"assign": {}, "if": {}}], "on/0", "one key"),
        ("on", [{"assign": "x"}], "on/0/assign", "must be an object"),
        ("on", {"assign": {"location": "age"}}, "on/assign/expr", "must be an expression"),
        ("on", {"assign": {"location": "x", "expr": "1"}}, "on/assign/location", "name of a field"),
        (
            "on",
            {"assign": {"location": "profile.name", "expr": "1"}},
            "on/assign/location",
            "name of a field",
        ),
        (
            "on",
            {"assign": {"location": "session_id", "expr": "1"}},
            "on/assign/location",
            "name of a field",
        ),
        (
            "on",
            {"assign": {"location": "source", "expr": "1"}},
            "on/assign/location",
            "rename the field",
        ),
        ("on", [{"if": {"cond": "x"}}], "on/0/if/cond", "not known here"),
        ("on", [{"if": {"cond": "age", "then": "go"}}], "on/0/if/then", "methods cannot be"),
        ("on", [{"if": {"cond": "age", "elif": [{}]}}], "on/0/if/elif/0/cond", "an expression"),
        ("on", [{"if": {"cond": "age", "else": [3]}}], "on/0/if/else/0", "must be an object"),
    ],
)
def test_a_fault_of_a_transition_is_found_at_its_place(
    key: str, value: Any, place: str, reason: str
) -> None:
    found = located(check(changed(f"statechart/states/intro/transitions/0/{key}", value)).errors)
    expected = f"{S}intro/transitions/0/{place}"
    assert [message for where, message in found if where == expected and reason in message], found


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        (3, "", "must be a text or an object"),
        ({}, "", "exactly one of"),
        ({"text": "x"}, "", "exactly one of"),
        ({"invoke": "llm", "chain": []}, "", "exactly one of"),
        ({"call": "os.system"}, "/call", "code flows only"),
        ({"invoke": "nobody", "template": "x"}, "/invoke", "there is no invoker 'nobody'"),
        ({"invoke": 3, "template": "x"}, "/invoke", "name of an invoker"),
        ({"invoke": "llm"}, "/template", "must be a text"),
        ({"invoke": "llm", "template": "{{"}, "/template", "line 1"),
        ({"invoke": "llm", "template": "a\n\n{% if %}"}, "/template", "line 3"),
        ({"invoke": "llm", "template": "{{ a | nope }}"}, "/template", "no filter 'nope'"),
        ({"invoke": "llm", "template": "{% include 'x' %}"}, "/template", "cannot include"),
        ({"invoke": "llm", "template": "x", "tries": 1}, "/tries", "not known here"),
        ({"invoke": "llm", "template": "x", "retry": 1}, "/retry", "must be an object"),
        ({"invoke": "llm", "template": "x", "timeout": 0}, "/timeout", "must be a number"),
        ({"invoke": "llm", "template": "x", "timeout": True}, "/timeout", "must be a number"),
        ({"invoke": "llm", "template": "x", "timeout": "9"}, "/timeout", "must be a number"),
        ({"invoke": "llm", "template": "x", "retries": -1}, "/retries", "whole number"),
        ({"invoke": "llm", "template": "x", "retries": 1.5}, "/retries", "whole number"),
        ({"invoke": "llm", "template": "x", "config": []}, "/config", "must be an object"),
        ({"chain": []}, "/chain", "at least one"),
        ({"chain": "x"}, "/chain", "must be a list"),
        ({"chain": ["x", {"parallel": {}}]}, "/chain/1/parallel", "at least one"),
        ({"chain": ["x", "{{"]}, "/chain/1", "line 1"),
        ({"chain": ["x"], "more": 1}, "/more", "not known here"),
        ({"parallel": {"a": "x", "b": 3}}, "/parallel/b", "must be a text"),
        ({"parallel": ["x"]}, "/parallel", "must be an object"),
        ({"map": {"over": "a[", "template": "x"}}, "/map/over", "is not a JMESPath"),
        ({"map": {"over": "[" * 900, "template": "x"}}, "/map/over", "is not a JMESPath"),
        ({"map": {"template": "x"}}, "/map/over", "must be a JMESPath"),
        ({"map": {"over": "notes"}}, "/map/template", "must be a text"),
        (
            {"map": {"over": "notes", "template": "x", "index_field": "a b"}},
            "/map/index_field",
            "must be a name",
        ),
        (
            {"map": {"over": "notes", "template": "x", "index_field": "map_value"}},
            "/map",
            "must differ",
        ),
        ({"queue": "a b", "template": "x"}, "/queue", "a queue's name"),
        ({"queue": "slow"}, "/template", "must be a text"),
        ({"ask": "How much?"}, "/ask", "must be an object"),
        ({"ask": {"schema": {}}}, "/ask/message", "must be a text"),
        ({"ask": {"message": "x"}}, "/ask/schema", "must be a JSON Schema"),
        ({"ask": ASK | {"schema": True}}, "/ask/schema", "must be a JSON Schema"),
        ({"ask": ASK | {"schema": {"type": "money"}}}, "/ask/schema", "it is no JSON Schema"),
        ({"ask": ASK | {"schema": {"$ref": "http://x/y"}}}, "/ask/schema", "no JSON Schema"),
        ({"ask": ASK | {"schema": {"pattern": "("}}}, "/ask/schema", "it is no JSON Schema"),
        ({"ask": ASK | {"schema": nested(50)}}, "/ask/schema", "nests more than 40 levels deep"),
        ({"ask": ASK | {"schema": {"$ref": "#"}}}, "/ask/schema", "refers to itself"),
        ({"ask": ASK | {"message": "{{"}}, "/ask/message", "line 1"),
        ({"ask": ASK | {"expires": "7d"}}, "/ask/expires", "a number from 0.001 to 3.16224e+07"),
        ({"ask": ASK | {"expires": 0}}, "/ask/expires", "must be a number"),
        ({"ask": ASK | {"on_expiry": "deny"}}, "/ask/on_expiry", "one of fail, cancel"),
        ({"ask": ASK | {"approvers": ["owner"]}}, "/ask/approvers", "one of owner, scope"),
        ({"ask": ASK | {"timeout": 1}}, "/ask/timeout", "not known here; known are schema"),
        ({"ask": ASK, "retries": 1}, "/retries", "not known here; known are ask"),
        ({"chain": ["x", {"ask": {}}]}, "/chain/1/ask/schema", "must be a JSON Schema"),
        (
            {"queue": "slow", "template": {"chain": [{"map": {"over": "notes", "template": 3}}]}},
            "/template/chain/0/map/template",
            "must be a text",
        ),
    ],
)
def test_a_fault_of_a_template_is_found_at_its_place(value: Any, place: str, reason: str) -> None:
    found = located(check(changed("templates/extract", value)).errors)
    expected = f"{T}extract{place}"
    assert [message for where, message in found if where == expected and reason in message], found


def test_asks_stand_wherever_a_template_may() -> None:
    ask = {"ask": ASK | {"expires": 60, "on_expiry": "cancel", "approvers": "scope"}}
    for template in (
        ask,
        {"chain": ["x", ask]},
        {"parallel": {"ask": ask}},
        {"map": {"over": "notes", "template": ask}},
        {"queue": "slow", "template": ask},
    ):
        assert check(changed("templates/extract", template)) == Findings()


@pytest.mark.parametrize(
    ("retry", "place", "reason"),
    [
        ({"attempts": 2}, "/attempts", "not known here; known are maximum_attempts, initial"),
        ({"maximum_attempts": 0}, "/maximum_attempts", "a whole number from 1 to 21"),
        ({"maximum_attempts": 2.5}, "/maximum_attempts", "a whole number"),
        ({"initial_interval": 0}, "/initial_interval", "a number from 0.001 to 86400"),
        ({"initial_interval": "1s"}, "/initial_interval", "a number"),
        ({"backoff_coefficient": 0.5}, "/backoff_coefficient", "a number from 1 to 100"),
        ({"maximum_interval": 1e9}, "/maximum_interval", "a number"),
        ({"initial_interval": 5, "maximum_interval": 1}, "/maximum_interval", "not be less than"),
        ({"on": "5xx"}, "/on", "must be a list"),
        ({"on": []}, "/on", "is empty"),
        ({"on": [429, "timeouts"]}, "/on/1", "one of timeout, connection, answer, a status"),
        ({"on": [200]}, "/on/0", "a status from 400 to 599"),
        ({"on": ["3xx"]}, "/on/0", "4xx or 5xx"),
        ({"on": [True]}, "/on/0", "one of"),
        ({"on": [{"status": 429}]}, "/on/0", "one of"),
        ({"on": ["other"]}, "/on/0", "one of"),
    ],
)
def test_a_fault_of_a_retry_policy_is_found_at_its_place(
    retry: dict[str, Any], place: str, reason: str
) -> None:
    template = {"invoke": "llm", "template": "x", "retry": retry}
    ((where, message),) = located(check(changed("templates/extract", template)).errors)
    assert where == f"{T}extract/retry{place}"
    assert reason in message


def test_a_template_has_a_policy_or_a_number_of_retries() -> None:
    template = {"invoke": "llm", "template": "x", "retries": 1, "retry": {"maximum_attempts": 2}}
    ((where, message),) = located(check(changed("templates/extract", template)).errors)
    assert where == f"{T}extract/retry"
    assert "give one of the two" in message


@pytest.mark.parametrize(
    ("spec", "place", "reason"),
    [
        (without("statechart"), "spec/statechart", "is missing"),
        (without("templates"), "spec/templates", "is missing"),
        (without("templates/intro"), S + "intro", "has no template"),
        (changed("templates/nowhere", "x"), T + "nowhere", "there is no state"),
        (changed("extra", 1), "spec/extra", "not known here"),
        (without("statechart/states/extract/transitions"), S + "extract", "no event leaves it"),
        (changed("templates/welcome", {"invoke": "llm", "template": "x"}), S + "welcome", "leaves"),
        (
            changed("statechart/states/extract/transitions/1", {"target": "intro"}),
            S + "extract/transitions/1",
            "left by its event only",
        ),
        (
            changed("statechart/states/intro/transitions/0", {"target": "intro"}),
            S + "intro/transitions/0",
            "round for ever: intro → intro",
        ),
        (
            changed("statechart/states/intro/transitions/0", {"cond": "age > 3"}),
            S + "intro/transitions/0",
            "round for ever",
        ),
        (
            changed("statechart/states/intro/transitions/0/event", "ai_extraction"),
            S + "intro/transitions/0/event",
            "ends the invocation of 'extract'",
        ),
        (changed("model/x", {"default": float("nan")}), "spec/model/x/default", "out of range"),
        (changed("templates/intro", "\x00"), T + "intro", "NUL"),
        (changed("templates/intro", "\ud800"), T + "intro", "half a character"),
        (changed("model/x", {1: 2}), "spec/model/x", "keys must be texts"),
        (changed("model/x", {2}), "spec/model/x", "is not JSON"),
        (changed("model/age", {"default": 2**63}), "spec/model/age/default", "out of range"),
        (None, "spec", "must be an object"),
        (b"", "spec", "is not JSON"),
    ],
)
def test_a_fault_of_a_flow_as_a_whole_is_found(spec: object, place: str, reason: str) -> None:
    found = located(check(spec).errors)
    assert [message for where, message in found if where == place and reason in message], found


def test_a_flow_in_which_a_failure_has_nowhere_to_lead_is_refused() -> None:
    states: dict[str, Any] = {
        "a": {"initial": True, "transitions": [{"event": "one", "target": "b"}]},
        "b": {"transitions": [{"event": "two", "target": "a"}]},
    }
    spec = {
        "statechart": {"states": states},
        "templates": {name: {"invoke": "llm", "template": "x"} for name in "ab"},
    }
    ((place, reason),) = located(check(spec).errors)
    assert place == "spec/templates"
    assert "every state invokes something" in reason
    states["end"] = {"final": True}
    assert not check({**spec, "templates": spec["templates"] | {"end": "The end."}}).errors


@pytest.mark.parametrize("other", [None, "extracted", "ai_extraction"])
def test_the_event_error_is_for_failures_wherever_it_stands(other: str | None) -> None:
    """Another event ends the invocation; a client may send `error` to a state that waits."""
    transitions = [{"event": "error", "target": "intro"}]
    if other is not None:
        transitions.append({"event": other, "target": "intro"})
    spec = changed("statechart/states/extract/transitions", transitions)
    spec["statechart"]["states"]["intro"]["transitions"].append(
        {"event": "error", "target": "extract"}
    )
    found = check(spec)
    if other is None:
        ((place, reason),) = located(found.errors)
        assert (place, "no event leaves it" in reason) == (S + "extract", True)
    else:
        assert not found.errors
        assert not [reason for _, reason in located(found.warnings) if "error" in reason]


def test_eventless_cycle_over_nested_states() -> None:
    spec = changed(
        "statechart/states/outer",
        {
            "transitions": [{"target": "intro", "cond": "age > 3"}],
            "states": {"inner": {"initial": True}},
        },
    )
    spec["statechart"]["states"]["intro"]["transitions"].append({"target": "outer"})
    spec["templates"]["inner"] = "x"
    assert ["round for ever" in message for _, message in located(check(spec).errors)] == [True]


def test_the_template_of_a_state_with_states_inside() -> None:
    spec = changed("statechart/states/intro/states", {"inner": {"initial": True}})
    spec["templates"]["inner"] = "x"
    assert located(check(spec).errors) == [
        (T + "intro", "the templates of a state with states inside are those of the inner ones")
    ]


def test_all_faults_are_told_at_once() -> None:
    spec = changed("templates/intro", "{{")
    spec["model"]["machine"] = {}
    spec["statechart"]["states"]["extract"]["transitions"][0]["cond"] = "go()"
    spec["statechart"]["states"]["extract"]["transitions"][1]["target"] = "nowhere"
    places = [place for place, _ in located(check(spec, key="Greet").errors)]
    assert places == [
        "metadata/name",
        "spec/model/machine",
        S + "extract/transitions/0/cond",
        S + "extract/transitions/1/target",
        T + "intro",
    ]


@pytest.mark.parametrize("key", ["", "Greet", "9a", "a b", "a/b", "a" * 64, "chat\n", "é"])
def test_bad_key(key: str) -> None:
    assert located(check(greet(), key=key).errors)[0][0] == "metadata/name"


@pytest.mark.parametrize("key", ["agents", "threads", "flows"])
def test_a_key_of_the_service_is_refused(key: str) -> None:
    assert "reserved" in located(check(greet(), key=key).errors)[0][1]


@pytest.mark.parametrize(
    ("spec", "place", "reason"),
    [
        (
            changed("statechart/states/intro/transitions/0/target", "welcome"),
            S + "extract",
            "cannot be reached",
        ),
        (
            changed("statechart/states/welcome/final", False),
            S + "welcome",
            "nothing leads out",
        ),
        (
            changed("statechart/states/extract/transitions/1/cond", "age > 3"),
            S + "extract",
            "when no guard of 'ai_extraction' holds",
        ),
        (
            changed("statechart/states/extract/transitions/1/event", "cancel"),
            S + "extract",
            "never: cancel",
        ),
    ],
)
def test_what_is_probably_not_meant_is_a_warning_with_its_place(
    spec: object, place: str, reason: str
) -> None:
    findings = check(spec)
    assert not findings.errors
    found = located(findings.warnings)
    assert [message for where, message in found if where == place and reason in message], found


def nested(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = {"chain": [leaf]}
    return leaf


HOSTILE = {
    "deep": changed("templates/intro", nested(5000, "x")),
    "nested templates": changed("templates/extract", nested(60, "{{")),
    "many templates": changed(
        "templates/extract", {"parallel": {f"k{i}": "{{" for i in range(2000)}}
    ),
    "dense template": changed("templates/intro", "{{" + "1+" * 24_000 + "}}"),
    "unbalanced template": changed("templates/intro", "{{" + "(" * 40_000),
    "huge texts": changed("templates/intro", "x" * 1_000_000),
    "many values": changed("model/age", {"enum": list(range(1_000_000))}),
    "wide model": changed("model", {f"f{i}": {"type": "string"} for i in range(5000)}),
    "many states": changed(
        "statechart/states",
        {
            f"s{i}": {"transitions": [{"target": f"s{i + j}"} for j in range(20)]}
            for i in range(300)
        },
    ),
    "long expressions": changed(
        "statechart/states/intro/transitions",
        [{"event": "a", "target": "intro", "cond": ["1+" * 400 + "age"] * 10}] * 20,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_specs_are_refused_soon(name: str) -> None:
    start = time.process_time()
    findings = await check_flow_async("greet", HOSTILE[name], invokers=INVOKERS)
    assert findings.errors
    assert len(findings.errors) <= 100
    assert time.process_time() - start < 2  # a busy machine; alone it takes a third of that
