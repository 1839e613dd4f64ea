"""Placeholders: one pass, values only, and the grammar of the published client."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from roboto.templating import MappingResolver
from roboto.templating import collect_placeholders as client_collects
from roboto.templating import substitute as client_substitutes

from app.agents.placeholders import (
    find_placeholders,
    inserted_size,
    placeholders_in_keys,
    substitute,
)

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.]{0,5}", fullmatch=True)
# Text that is likely to hold placeholders, near misses and Jinja.
BRACED = st.builds(
    "{}{{{{{}{}{}}}}}".format,
    st.text(),
    st.sampled_from(["", " ", "\t\n"]),
    NAMES,
    st.sampled_from(["", " ", "\u2003"]),
)
TEXTS = st.one_of(st.text(), BRACED, st.text(alphabet="{} ab.%#"))
KEYS = st.text(alphabet="abc_", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(KEYS, child, max_size=4),
    max_leaves=12,
)
VALUES = st.dictionaries(NAMES, TEXTS, max_size=5)


def names_in(template: Any) -> set[str]:
    return {name for _, name in find_placeholders(template)}


@given(JSON, VALUES)
def test_it_does_what_the_published_client_does(template: Any, values: dict[str, str]) -> None:
    assert names_in(template) == client_collects(template)
    assert substitute(template, values) == client_substitutes(template, MappingResolver(values))


# A text as its author sees it: plain pieces, with a placeholder after each.
PIECES = st.lists(st.tuples(st.text(alphabet="ab %#.", max_size=4), NAMES), max_size=5)


@given(PIECES, TEXTS)
def test_values_are_put_in_as_they_are_and_never_looked_at_again(
    pieces: list[tuple[str, str]], value: str
) -> None:
    template = "".join(f"{text}{{{{{name}}}}}" for text, name in pieces)
    # Each value holds the very placeholders that are being filled.
    values = {name: f"{value}{{{{{name}}}}}" for _, name in pieces}

    assert substitute(template, values) == "".join(text + values[name] for text, name in pieces)


@given(PIECES)
def test_nothing_is_left_to_fill_when_every_value_is_given(pieces: list[tuple[str, str]]) -> None:
    template = ["".join(f"{text}{{{{ {name} }}}}" for text, name in pieces)]

    assert names_in(template) == {name for _, name in pieces}
    assert not names_in(substitute(template, dict.fromkeys(names_in(template), "value")))


@given(JSON, VALUES)
def test_what_holds_no_placeholder_comes_out_as_it_went_in(
    template: Any, values: dict[str, str]
) -> None:
    if not names_in(template):
        assert substitute(template, values) == template


@given(JSON, VALUES)
def test_the_original_is_not_touched_and_its_shape_is_kept(
    template: Any, values: dict[str, str]
) -> None:
    before = repr(template)

    result = substitute(template, values)

    assert repr(template) == before
    assert _shape(result) == _shape(template)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_shape(child) for child in value]
    return type(value)


@given(JSON, VALUES)
def test_the_size_is_known_before_it_is_built(template: Any, values: dict[str, str]) -> None:
    removed = substitute(template, dict.fromkeys(values, ""))

    grown = _characters(substitute(template, values)) - _characters(removed)

    assert inserted_size(template, values) == grown


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0


def test_each_placeholder_is_found_with_its_place() -> None:
    template = {"a": ["x", "{{one}} and {{ two }}"], "b": {"c": "{{one}}"}}

    assert list(find_placeholders(template)) == [
        (("a", 1), "one"),
        (("a", 1), "two"),
        (("b", "c"), "one"),
    ]


def test_placeholders_in_keys_are_found_and_never_filled() -> None:
    template = {"ok": [{"{{ name }}": "{{other}}"}]}

    assert list(placeholders_in_keys(template)) == [(("ok", 0, "{{ name }}"), "name")]
    assert names_in(template) == {"other"}
    assert substitute(template, {"name": "x", "other": "y"}) == {"ok": [{"{{ name }}": "y"}]}


def test_what_only_looks_like_a_placeholder_is_text() -> None:
    text = "{{ }} {{1a}} {{a-b}} {a} {{a} }} {{ a | upper }} {{ a() }} {% a %} {{é}}"

    assert names_in(text) == set()
    assert substitute(text, {"a": "x"}) == text


def test_a_name_without_value_stays_as_it_was_written() -> None:
    assert substitute("{{a}} {{  b }}", {"a": "1"}) == "1 {{  b }}"
