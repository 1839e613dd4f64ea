"""A plain template gives what Jinja gives; everything else is left to the sandbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.flows.rendering.jinja import SANDBOX
from app.flows.rendering.plain import fill, plain_parts

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
PIECES = st.sampled_from(
    ["{{ a }}", "{{b}}", "{{ missing }}", "text ", "\n", "{%- raw -%} x {%- endraw -%}", "é😀"]
)


@given(st.lists(PIECES, max_size=6).map("".join), VALUES, VALUES)
def test_a_plain_template_renders_as_jinja_does(text: str, a: object, b: object) -> None:
    context = {"a": a, "b": b}
    parts = plain_parts(text)
    assert parts is not None
    assert fill(parts, context) == SANDBOX.from_string(text).render(context)


@pytest.mark.parametrize(
    "text",
    [
        "{{ a.b }}",
        "{{ a | upper }}",
        "{{ 9 ** 9 }}",
        "{{ range }}",
        "{% for x in a %}{% endfor %}",
        "{{ a() }}",
        "{{ 'x' }}",
        "{{ a ~ b }}",
        "{{",
    ],
)
def test_anything_else_is_not_plain(text: str) -> None:
    assert plain_parts(text) is None
