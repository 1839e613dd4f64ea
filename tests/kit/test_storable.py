"""What is storable JSON: one answer for what is sent, what is generated and what code makes."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.kit.storable import (
    MAX_DEPTH,
    Limits,
    NotStorableError,
    check_json,
    clean_text,
    load_json,
    parse_number,
    text_fault,
)
from tests.support.storable import storable

# Whatever Python's own JSON writes and reads: lone surrogates, NaN and huge integers too.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 1, 2**64 + 1)
    | st.integers(-(2**63) - 1, -(2**63) + 1)
    | st.floats()
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


def nested(depth: int, value: Any = 1) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@given(value=values)
def test_values_and_their_json_are_judged_alike(value: Any) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        if storable(value):
            check_json(value)
            assert load_json(text) == value
            assert load_json(text.encode()) == value
            continue
        with pytest.raises(NotStorableError):
            check_json(value)
        with pytest.raises(ValueError):  # noqa: PT011 - of orjson, or ours
            load_json(text)


@given(value=values)
def test_what_is_cleaned_is_storable_and_else_unchanged(value: Any) -> None:
    try:
        cleaned = load_json(json.dumps(value), clean=True)
    except ValueError:
        return  # a number that cannot be stored
    check_json(cleaned)
    if storable(value):
        assert cleaned == value


@given(text=st.text(st.characters()))
@example("\ud83d\ude00")
def test_texts_are_cleaned_only_where_they_must_be(text: str) -> None:
    cleaned = clean_text(text)

    assert text_fault(cleaned) is None
    assert (cleaned == text) == (text_fault(text) is None)
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\x00b", "a\ufffdb"),
        ("half \ud83d", "half \ufffd"),
        ("\ude00 other half", "\ufffd other half"),
        ("in two pieces: \ud83d" + "\ude00", "in two pieces: 😀"),
        ("\\u0000 as letters", "\\u0000 as letters"),
    ],
)
def test_what_cannot_be_stored_is_replaced(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned
    assert load_json(json.dumps({text: [text]}), clean=True) == {cleaned: [cleaned]}


@pytest.mark.parametrize(
    ("value", "loc", "reason"),
    [
        ({"a": [1, {"b": "\x00"}]}, ("a", 1, "b"), "NUL"),
        ({"a": [1, {"\x00": 2}]}, ("a", 1), "NUL"),
        (["x", "\ud800"], (1,), "lone surrogate"),
        ([float("nan")], (0,), "out of range"),
        ({"a": -(10**400)}, ("a",), "out of range"),
        ({"a": {1: 2}}, ("a",), "keys must be texts"),
        ({"a": {1, 2}}, ("a",), "set is not JSON"),
        ({"a": b"x"}, ("a",), "bytes is not JSON"),
        (nested(9, "\x00"), ("a", 0) * 4, "NUL"),
    ],
)
def test_a_fault_has_its_loc(value: Any, loc: tuple[str | int, ...], reason: str) -> None:
    with pytest.raises(NotStorableError, match=reason) as caught:
        check_json(value)

    assert caught.value.loc == loc
    assert caught.value.reason == str(caught.value)


def test_depth_is_how_many_containers_stand_within_each_other() -> None:
    check_json(nested(MAX_DEPTH))
    load_json(json.dumps(nested(MAX_DEPTH)))
    load_json(json.dumps(nested(MAX_DEPTH, "\x00")), clean=True)
    check_json(nested(MAX_DEPTH - 1, []))
    for deep in (nested(MAX_DEPTH + 1), nested(MAX_DEPTH, []), nested(50_000)):
        with pytest.raises(NotStorableError, match="100 levels"):
            check_json(deep)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 5_000, 100_000])
@pytest.mark.parametrize("inside", ["1", '"\\u0000"', "9" * 19])
def test_deep_texts_are_refused_however_they_are_read(depth: int, inside: str) -> None:
    for text in (f"{'[' * depth}{inside}{']' * depth}", "[" * depth):
        for clean in (True, False):
            with pytest.raises(ValueError):  # noqa: PT011 - of orjson, or ours
                load_json(text, clean=clean)


def test_values_and_characters_can_be_bounded() -> None:
    check_json(["ab", {"c": "d"}], Limits(values=4, chars=4))
    with pytest.raises(NotStorableError, match="more than 3 values"):
        check_json(["ab", {"c": "d"}], Limits(values=3))
    with pytest.raises(NotStorableError, match="more than 3 characters"):
        check_json(["ab", {"c": "d"}], Limits(chars=3))
    with pytest.raises(NotStorableError, match="out of range"):
        check_json(2**63, Limits(max_integer=2**63 - 1))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551615", 2**64 - 1),
        ("1e3", 1000.0),
        ("-0.5", -0.5),
    ],
)
def test_numbers_are_read_as_they_are_written(text: str, number: float) -> None:
    assert parse_number(text) == number
    assert type(parse_number(text)) is type(number)


@pytest.mark.parametrize(
    "text", ["18446744073709551616", "-9223372036854775809", "1e999", "9" * 5_000, "0." + "1" * 500]
)
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(NotStorableError, match="out of range"):
        parse_number(text)


@pytest.mark.parametrize(
    "text", ["", "x", "{", "[1,]", "NaN", "[Infinity]", "'a'", b"\xff", b"\xff\xfe[\x00]\x00"]
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    for clean in (True, False):
        with pytest.raises(ValueError):  # noqa: PT011 - of orjson, or ours
            load_json(text, clean=clean)
