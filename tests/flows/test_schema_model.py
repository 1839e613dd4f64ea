"""A manifest's properties become a model that takes what the schema says and nothing else."""

import gc
import random
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.errors import BadRequestError
from app.flows.manifest.schema_model import model_from_schema
from app.flows.model.session_model import SessionModel

SCHEMA: dict[str, Any] = {
    "user_name": {"type": ["string", "null"], "default": None, "description": "who it is"},
    "age": {"type": "integer", "default": 3},
    "score": {"type": "number"},
    "ok": {"type": "boolean", "default": False},
    "tags": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
    "level": {"enum": ["low", "high", 1, None]},
    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
    "place": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "at": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["city"],
        "default": {"city": "Utrecht"},
    },
    "free": {},
    "anything": {"type": "object"},
}


@pytest.fixture(scope="module")
def made() -> type[SessionModel]:
    return model_from_schema("ManifestModel", SCHEMA)


def test_a_new_model_holds_the_defaults(made: type[SessionModel]) -> None:
    fields = made().model_dump()

    assert {name: fields[name] for name in SCHEMA} == {
        "user_name": None,
        "age": 3,
        "score": None,
        "ok": False,
        "tags": ["a"],
        "level": None,
        "color": "red",
        "place": {"city": "Utrecht"},
        "free": None,
        "anything": None,
    }
    assert made.own_fields() == SCHEMA.keys()


def test_a_mutable_default_is_not_shared(made: type[SessionModel]) -> None:
    made.seed({}).tags.append("b")  # type: ignore[attr-defined]  # made at run time

    assert made.seed({}).model_dump()["tags"] == ["a"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_name", "Ada"),
        ("age", -5),
        ("score", 1),
        ("score", 1.5),
        ("level", 1),
        ("level", None),
        ("tags", []),
        ("place", {"city": "Oss", "at": [1, 2.5], "zip": "kept"}),
        ("free", {"a": [1, None, "x"]}),
        ("anything", {"a": {"b": 1}}),
    ],
)
def test_what_fits_comes_back(made: type[SessionModel], name: str, value: object) -> None:
    model = made.seed({name: value})

    read = made.deserialize(model.serialize(compression=True))
    assert read == model
    assert read.model_dump()[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_name", 5),
        ("age", "5"),
        ("age", True),
        ("age", None),
        ("score", "1"),
        ("score", True),
        ("ok", 1),
        ("tags", ["a", 1]),
        ("tags", "a"),
        ("level", True),
        ("level", 2),
        ("level", ["low"]),
        ("color", "green"),
        ("place", {}),
        ("place", {"city": 1}),
        ("place", {"city": "x", "at": ["y"]}),
        ("anything", [1]),
    ],
)
def test_what_does_not_fit_is_refused(made: type[SessionModel], name: str, value: object) -> None:
    with pytest.raises(BadRequestError):
        made.seed({name: value})
    with pytest.raises(ValidationError):
        setattr(made(), name, value)


@pytest.mark.parametrize(
    ("properties", "places"),
    [
        ({"a": {"type": "strin"}}, [["a", "type"]]),
        ({"a": {"type": []}}, [["a", "type"]]),
        ({"a": {"type": [{}]}}, [["a", "type"]]),
        ({"a": {"type": "string", "multipleOf": 2}}, [["a", "multipleOf"]]),
        ({"a": {"type": "string", "pattern": "(?=x)"}}, [["a", "pattern"]]),
        ({"a": {"type": "string", "pattern": r"(x)\1"}}, [["a", "pattern"]]),
        ({"a": {"type": "string", "pattern": "x" * 501}}, [["a", "pattern"]]),
        ({"a": {"type": "string", "pattern": "(x{1,200}){1,200}"}}, [["a", "pattern"]]),
        ({"a": {"type": "string", "pattern": 5}}, [["a", "pattern"]]),
        ({"a": {"pattern": "x"}}, [["a", "pattern"]]),
        ({"a": {"type": "integer", "pattern": "x"}}, [["a", "pattern"]]),
        ({"a": {"type": "string", "format": "zip"}}, [["a", "format"]]),
        ({"a": {"type": "string", "format": ["date"]}}, [["a", "format"]]),
        ({"a": {"type": "string", "minimum": 1}}, [["a", "minimum"]]),
        ({"a": {"type": "number", "minimum": "1"}}, [["a", "minimum"]]),
        ({"a": {"type": "number", "minimum": True}}, [["a", "minimum"]]),
        ({"a": {"type": "number", "maximum": float("nan")}}, [["a", "maximum"]]),
        ({"a": {"type": "number", "minimum": 3, "maximum": 2}}, [["a", "minimum"]]),
        ({"a": {"type": "number", "minimum": 3, "default": 2}}, [["a", "default"]]),
        ({"a": {"type": "string", "minLength": -1}}, [["a", "minLength"]]),
        ({"a": {"type": "string", "maxLength": 1.5}}, [["a", "maxLength"]]),
        ({"a": {"type": "string", "minItems": 1}}, [["a", "minItems"]]),
        ({"a": {"type": "array", "minItems": 2, "maxItems": 1}}, [["a", "minItems"]]),
        ({"a": {"$ref": "#/a"}, "b": {"anyOf": []}}, [["a", "$ref"], ["b", "anyOf"]]),
        ({"a": {"type": "integer", "default": "x"}}, [["a", "default"]]),
        ({"a": {"type": "string", "default": None}}, [["a", "default"]]),
        ({"a": {"enum": [1, 2], "default": 3}}, [["a", "default"]]),
        ({"a": {"enum": []}}, [["a", "enum"]]),
        ({"a": {"enum": [[1]]}}, [["a", "enum"]]),
        ({"a": {"type": "string", "items": {}}}, [["a", "items"]]),
        ({"a": {"type": "array", "items": {"type": "x"}}}, [["a", "items", "type"]]),
        ({"a": {"type": "array", "items": {"default": 1}}}, [["a", "items", "default"]]),
        ({"a": {"type": "array", "items": 5}}, [["a", "items"]]),
        (
            {"a": {"type": "object", "properties": {"b": {"minimum": 1}}}},
            [["a", "properties", "b", "minimum"]],
        ),
        ({"a": {"type": "object", "properties": []}}, [["a", "properties"]]),
        ({"a": {"type": "object", "required": ["x"]}}, [["a", "required"]]),
        ({"a": "string"}, [["a"]]),
        ({"a": None}, [["a"]]),
        ({"_a": {}}, [["_a"]]),
        ({"a-b": {}, "": {}, "1a": {}, 5: {}}, [["a-b"], [""], ["1a"], ["5"]]),
        ({"class": {}}, [["class"]]),
        ({"session_id": {}, "actor_input": {}}, [["session_id"], ["actor_input"]]),
        ({"machine": {}, "schema_version": {}}, [["machine"], ["schema_version"]]),
        ({"chat_history": {}, "serialize": {}}, [["chat_history"], ["serialize"]]),
        ([], [[]]),
    ],
)
def test_faults_are_named_with_their_place(properties: Any, places: list[list[str]]) -> None:
    with pytest.raises(BadRequestError) as caught:
        model_from_schema("ManifestModel", properties)

    assert [fault["loc"] for fault in caught.value.errors] == places


BOUNDED: dict[str, Any] = {
    "age": {"type": "integer", "minimum": 18, "maximum": 99},
    "share": {"type": ["number", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    "zip": {"type": ["string", "null"], "pattern": "^[0-9]{4} ?[A-Z]{2}$", "default": None},
    "name": {"type": "string", "minLength": 2, "maxLength": 5},
    "born": {"type": "string", "format": "date"},
    "mail": {"type": "string", "format": "email"},
    "tags": {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {"type": "string", "pattern": "^#"},
    },
    "notes": {"type": "array", "items": {"type": "string", "pattern": "([xy]{0,90}x){8}[cd]"}},
}


@pytest.mark.parametrize(
    ("name", "fits", "reasons"),
    [
        ("age", [18, 99], {17: "at least 18", 100: "at most 99"}),
        ("share", [0.5, "0", "x"], {0: "more than 0", 1.0: "less than 1"}),
        ("zip", ["4411 AB", "4411AB", None], {"4411 ab": "match the pattern", "x4411AB": "match"}),
        ("name", ["Al", "ééééé"], {"A": "at least 2 characters", "Amelia": "at most 5"}),
        ("born", ["2024-02-29"], {"2023-02-29": "the format date", "today": "the format date"}),
        ("mail", ["ada@example.org"], {"ada": "the format email", "a@" + "b" * 10_000: "format"}),
    ],
)
def test_a_value_is_within_its_bounds(name: str, fits: list[Any], reasons: dict[Any, str]) -> None:
    made = model_from_schema("ManifestModel", BOUNDED)

    for value in fits:
        assert made.seed({name: value}).model_dump()[name] == value
    for value, reason in reasons.items():
        with pytest.raises(BadRequestError) as caught:
            made.seed({name: value})
        assert reason in caught.value.errors[0]["msg"]
        with pytest.raises(ValidationError, match=reason):
            setattr(made(), name, value)


def test_bounds_hold_for_lists_and_what_is_in_them() -> None:
    made = model_from_schema("ManifestModel", BOUNDED)

    assert made.seed({"tags": ["#a"]})
    for tags, place in (([], []), (["#a"] * 3, []), (["#a", "b"], [1])):
        with pytest.raises(BadRequestError) as caught:
            made.seed({"tags": tags})
        assert caught.value.errors[0]["loc"] == ["seed_data", "tags", *place]


def test_what_is_stored_comes_back_whatever_its_bounds_are_by_now() -> None:
    before = model_from_schema("ManifestModel", {"age": {"type": "integer"}})
    after = model_from_schema("ManifestModel", {"age": {"type": "integer", "minimum": 18}})

    assert after.deserialize(before.seed({"age": 3}).serialize()).model_dump()["age"] == 3


def test_many_texts_with_a_costly_pattern_are_refused_in_time() -> None:
    made = model_from_schema("ManifestModel", BOUNDED)
    text = "".join(random.Random(1).choices("xy", k=9000))  # noqa: S311 - the same each time
    start = time.thread_time()

    with pytest.raises(BadRequestError) as caught:
        made.seed({"notes": [text] * 200})
    assert "too much to check" in caught.value.errors[-1]["msg"]
    assert time.thread_time() - start < 2


def test_bounds_show_in_the_schema_of_the_model() -> None:
    shown = model_from_schema("ManifestModel", BOUNDED).model_json_schema()["properties"]

    assert str(BOUNDED["zip"]["pattern"]) in str(shown["zip"])
    assert "'minimum': 18" in str(shown["age"])


def test_depth_and_number_are_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    many = {f"p{number}": {} for number in range(501)}

    for properties in ({"a": deep}, many):
        with pytest.raises(BadRequestError) as caught:
            model_from_schema("ManifestModel", properties)
        assert len(caught.value.errors) == 1


def test_a_class_is_freed_with_its_last_reference() -> None:
    made = weakref.ref(model_from_schema("ManifestModel", SCHEMA))
    gc.collect()

    assert made() is None


json_schemas = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.sampled_from(["string", "array"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "items",
                    "properties",
                    "enum",
                    "default",
                    "a",
                    "required",
                    "pattern",
                    "minimum",
                    "maxLength",
                    "format",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(properties=json_schemas)
def test_any_json_gives_a_model_or_a_bad_request(properties: Any) -> None:
    try:
        made = model_from_schema("ManifestModel", properties)
    except BadRequestError:
        return

    assert made.deserialize(made().serialize()) == made()
