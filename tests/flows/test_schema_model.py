"""A manifest's properties become a model that takes what the schema says and nothing else."""

import gc
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
        ({"a": {"type": "string", "pattern": "x"}}, [["a", "pattern"]]),
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
            st.sampled_from(["type", "items", "properties", "enum", "default", "a", "required"]),
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
