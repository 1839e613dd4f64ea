"""JSON Schemas from outside: what is refused before it could keep a process busy."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.schemas.json_schema import check_schema, schema_findings
from app.kit.schemas.schema_cost import TooMuchWorkError, check_work

TREE = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "name": {"type": "string"}}}
ANY_JSON = {
    "$ref": "#/$defs/value",
    "$defs": {
        "value": {
            "anyOf": [
                {"type": ["string", "number", "boolean", "null"]},
                {"type": "array", "items": {"$ref": "#/$defs/value"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/value"}},
            ]
        }
    },
}
# Each part twice where it stands, and twice within each other.
TWICE = {"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}


def doubling(levels: int) -> dict[str, Any]:
    """A schema by which one value is looked at 2**levels times."""
    parts: dict[str, Any] = {
        f"p{at}": {"allOf": [{"$ref": f"#/$defs/p{at + 1}"}, {"$ref": f"#/$defs/p{at + 1}"}]}
        for at in range(levels)
    }
    return {"$defs": parts | {f"p{levels}": {"minimum": 1}}, "$ref": "#/$defs/p0"}


def nested(depth: int, key: str = "x") -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {key: value}
    return value


@pytest.mark.parametrize(
    "schema",
    [
        doubling(30),
        doubling(900),
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_looks_at_a_value_for_ever_is_refused_at_once(schema: Any) -> None:
    began = time.thread_time()
    with pytest.raises(ValueError, match="refers to itself too often"):
        check_schema(schema, of_object=False)
    assert time.thread_time() - began < 5


def test_a_value_that_a_schema_would_look_at_for_ever_does_not_fit_it() -> None:
    check_schema(TWICE)
    assert schema_findings(TWICE, nested(10)) == []
    [(place, text)] = schema_findings(TWICE, nested(60))
    assert place == []
    assert "nests too deep, to be checked" in text
    many = {"items": {"anyOf": [{"const": number} for number in range(5000)]}}
    [(_, text)] = schema_findings(many, [1] * 100_000)
    assert "is too large" in text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TREE, nested(90, "left")),
        (ANY_JSON, nested(90)),
        (ANY_JSON, [[number] for number in range(50_000)]),
        ({"$id": "https://a.example/s", "items": {"$ref": "https://a.example/s#"}}, [[], [[]]]),
        ({"$defs": {"t": {"$anchor": "t"}}, "items": {"$ref": "#t"}}, [1] * 1000),
    ],
)
def test_schemas_that_refer_to_themselves_check_what_they_can(
    schema: dict[str, Any], value: Any
) -> None:
    check_schema(schema, of_object=False)
    assert schema_findings(schema, value) == []


REF = st.sampled_from([{"$ref": "#"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {}])
PART = st.recursive(
    REF,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner, "properties": st.fixed_dictionaries({"x": inner})}),
        st.fixed_dictionaries(
            {
                "properties": st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
                "additionalProperties": inner,
            }
        ),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, max_size=2), "items": inner}),
    ),
    max_leaves=8,
)
VALUE = st.recursive(
    st.integers(0, 3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"a": PART, "b": PART}), PART, VALUE)
def test_no_value_is_looked_at_more_often_than_is_said(
    defs: dict[str, Any], part: dict[str, Any], value: Any
) -> None:
    schema = {"allOf": [part], "$defs": defs}
    looks = sum(1 for _ in islice(looked(schema, schema, value, ()), 20_000))
    with pytest.raises(TooMuchWorkError):
        check_work(schema, value, most=looks - 1)


def looked(
    root: dict[str, Any], part: dict[str, Any], value: Any, around: tuple[int, ...]
) -> Iterator[None]:
    """Once for each time that a validator without any haste looks at a value or one within it."""
    if id(part) in around:
        return
    yield
    same = [*part.get("allOf", []), *([part["not"]] if "not" in part else [])]
    if reference := part.get("$ref"):
        same.append(root if reference == "#" else root["$defs"][reference[-1]])
    for other in same:
        yield from looked(root, other, value, (*around, id(part)))
    for key, inner in members(value):
        for other in within(part, key):
            yield from looked(root, other, inner, ())


def members(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return [*value.items()]
    return [*enumerate(value)] if isinstance(value, list) else []


def within(part: dict[str, Any], key: str | int) -> list[dict[str, Any]]:
    """The parts that look at a member or an item."""
    if isinstance(key, str):
        found = [part.get("properties", {}).get(key), part.get("additionalProperties")]
    else:
        found = [*part.get("prefixItems", [])[key : key + 1], part.get("items")]
    return [one for one in found if one is not None]
