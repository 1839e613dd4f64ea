"""Whatever JSON comes as a flow: a check ends, never raises, and what passes it compiles."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.flows.manifest.compile import check_flow, compile_flow
from app.flows.rendering.jinja import TrustedRenderer
from tests.flows.specs import INVOKERS, greet

WORDS = [
    *("model", "statechart", "templates", "states", "transitions", "event", "target", "cond"),
    *("unless", "on", "enter", "assign", "location", "expr", "if", "then", "elif", "else"),
    *("initial", "final", "parallel", "history", "internal", "invoke", "template", "config"),
    *("refusal", "after", "delay", "24h", "done.state.outer", "deep", "length(x)", "pattern"),
    *(
        "timeout",
        "retries",
        "chain",
        "map",
        "over",
        "queue",
        "ask",
        "schema",
        "message",
        "call",
        "type",
        "properties",
    ),
    *("required", "enum", "default", "items", "string", "object", "intro", "extract", "welcome"),
    *("user_name", "profile.name", "verbatim", "{{ x }}", "{% if %}", "a[0", "1 < 2", "user_input"),
    *("ai_extraction", "send", "on_enter_state", "poll", "", "\x00", "\ud800", "source"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**400, 10**401),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(WORDS),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)
MORE = settings(max_examples=settings().max_examples * 3 // 2)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, item in members:
            found += places(item, (*path, key)) if isinstance(item, dict | list) else [(*path, key)]
    return found


PLACES = places(greet())


@given(JSON)
@MORE
def test_any_json_is_checked(spec: Any) -> None:
    assert check_flow("greet", spec, invokers=INVOKERS).errors


@given(st.sampled_from(PLACES), JSON)
@MORE
def test_what_passes_the_check_compiles_and_starts(place: tuple[Any, ...], value: Any) -> None:
    spec: Any = greet()
    holder = spec
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    findings = check_flow("greet", spec, invokers=INVOKERS)
    if not findings.errors:
        flow = compile_flow("greet", 1, spec, TrustedRenderer())
        assert flow.next_actions("intro") is not None
    assert all(fault["loc"][0] == "spec" for fault in findings.errors)


@given(st.text(max_size=30) | st.sampled_from(WORDS))
@MORE
def test_any_key_is_checked(key: str) -> None:
    check_flow(key, greet(), invokers=INVOKERS)
