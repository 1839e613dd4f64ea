"""Templates are checked without being run, and trusted ones render in process."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.flows.rendering.jinja import (
    ANY_NAME,
    TemplateError,
    TemplateFault,
    TrustedRenderer,
    check_syntax,
    variables_of,
)


@pytest.fixture
def renderer(tmp_path: Path) -> TrustedRenderer:
    (tmp_path / "qa").mkdir()
    (tmp_path / "qa" / "greeting.jinja").write_text("Hello {{ name }}{% include 'tail.jinja' %}")
    (tmp_path / "tail.jinja").write_text("! {{ chat_history }}")
    return TrustedRenderer([tmp_path])


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ user.name }} is {{ user['age'] }}", "Ada is 36"),
        ("[{{ missing }}]", "[]"),
        ("[{{ user.missing }}]", "[]"),
        ("{{ user|tojson }}", '{"name": "Ada", "age": 36}'),
        ("{{ '<é>'|tojson }}", '"<é>"'),
        ("{% for n in [1, 2] %}{{ n }},{% endfor %}", "1,2,"),
    ],
)
async def test_a_trusted_template_is_rendered(text: str, rendered: str) -> None:
    context = {"user": {"name": "Ada", "age": 36}}

    assert await TrustedRenderer().render(text, context) == rendered


async def test_a_trusted_template_includes_others(renderer: TrustedRenderer) -> None:
    text = "{% include 'qa/greeting.jinja' %}"

    assert await renderer.render(text, {"name": "Ada", "chat_history": "…"}) == "Hello Ada! …"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n{{ missing.member }}", "line 2: 'missing' is undefined"),
        ("{{ 1 / 0 }}", "line 1: ZeroDivisionError: division by zero"),
        ("{% if %}", "line 1: Expected an expression"),
        ("{{ '\\u0000' }}", "NUL"),
        ("{{ '\\ud800' }}", "surrogate"),
        ("{% include 'gone' %}", "gone"),
    ],
)
async def test_what_cannot_be_rendered_says_why(text: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        await TrustedRenderer().render(text, {})

    assert caught.value.status == 409
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("fine {{ x|upper }}", []),
        ("a\n{% if x %}", [(2, "Unexpected end of template")]),
        ("a\n\n{{ x", [(3, "unexpected end of template")]),
        ("{{ x|shout }}\n{{ x is loud }}", [(1, "shout"), (2, "loud")]),
        ("\n{% include '/etc/passwd' %}", [(2, "cannot include")]),
        ("{% extends x %}{% import 'a' as a %}", [(1, "cannot"), (1, "cannot")]),
        ("{{ " + "(" * 10_000, [(1, "nests too deeply")]),
        ("{{ " + "9" * 5000 + " }}", [(1, "4300 digits")]),
    ],
)
def test_faults_have_their_lines(text: str, faults: list[tuple[int, str]]) -> None:
    found = check_syntax(text)

    assert [fault.line for fault in found] == [line for line, _ in faults]
    for fault, (_, message) in zip(found, faults, strict=True):
        assert message in fault.message


def test_a_trusted_template_may_only_name_others_that_exist(renderer: TrustedRenderer) -> None:
    text = (
        "{% include 'qa/greeting.jinja' %}{% include 'gone' ignore missing %}"
        "{% include ['gone', 'tail.jinja'] %}{% include name %}\n{% extends 'gone' %}"
    )

    assert check_syntax(text, renderer.environment) == [
        TemplateFault(2, "there is no template gone")
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain", set()),
        ("{{ a.b }}{% if c is defined %}{{ d['e'] }}{% endif %}", {"a", "c", "d"}),
        ("{% for x in chat_history %}{{ x }}{% endfor %}", {"chat_history", "x"}),
        ("{% set x = dialogue %}", {"dialogue"}),
        ("{% if %}", set()),
        ("{{ (9**9**9)|string }}{{ 'x' * 10000000000 }}", set()),
        ("{% autoescape 9**9**9 %}{% endautoescape %}{{ a|center(9**9) }}", {"a"}),
    ],
)
def test_names_are_found_without_running_anything(text: str, names: set[str]) -> None:
    started = time.process_time()

    assert variables_of(text) == names
    assert check_syntax(text) == [] or text == "{% if %}"
    assert time.process_time() - started < 5  # run, they would take minutes


def test_names_of_included_templates_are_found_too(renderer: TrustedRenderer) -> None:
    text = "{% include 'qa/greeting.jinja' %}"

    assert variables_of(text, renderer.environment) == {"name", "chat_history"}
    assert variables_of("{% include other %}", renderer.environment) == {"other", ANY_NAME}


pieces = st.lists(
    st.sampled_from(
        ["{{", "}}", "{%", "%}", "{#", "#}", " if ", " a ", "|b", "for", "in", "'", "("]
    )
    | st.text(max_size=3)
).map("".join)


@given(text=pieces)
def test_any_text_is_checked(text: str) -> None:
    faults = check_syntax(text)

    assert isinstance(variables_of(text), frozenset)
    assert all(fault.line >= 1 and fault.message for fault in faults)
