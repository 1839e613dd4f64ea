"""What must hold between a template and the variables that it declares."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.agents.record import TemplateVariable, UpdateAgentRequest, check_declaration
from app.errors import BadRequestError

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.]{0,3}", fullmatch=True)


def template(*names: str) -> dict[str, Any]:
    text = " ".join(f"{{{{{name}}}}}" for name in names)
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


def declared(*names: str) -> list[TemplateVariable]:
    return [TemplateVariable(name=name) for name in names]


@given(st.sets(NAMES, max_size=4), st.lists(NAMES, max_size=4))
def test_it_holds_exactly_when_each_placeholder_is_declared_once_and_nothing_else(
    used: set[str], names: list[str]
) -> None:
    if sorted(used) == sorted(names):
        check_declaration(template(*used), declared(*names))
    else:
        with pytest.raises(BadRequestError):
            check_declaration(template(*used), declared(*names))


@pytest.mark.parametrize(
    ("names", "variables", "place", "word"),
    [
        (["a"], [], ["request_template", "messages", 0, "content", 0, "text"], "not declared"),
        (["a"], ["a", "b"], ["variables", 1, "name"], "'b' is not used"),
        (["a"], ["a", "a"], ["variables", 1, "name"], "'a' is declared more than once"),
    ],
)
def test_each_fault_is_named_with_its_place(
    names: list[str], variables: list[str], place: list[Any], word: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_declaration(template(*names), declared(*variables))

    assert [fault["loc"] for fault in caught.value.errors] == [place]
    assert word in caught.value.errors[0]["msg"]
    assert word in caught.value.detail


def test_a_placeholder_in_a_key_is_refused_even_when_it_is_declared() -> None:
    body = {**template("a"), "client_context": {"misc_context": {"x": [{"{{a}}": "{{a}}"}]}}}

    with pytest.raises(BadRequestError) as caught:
        check_declaration(body, declared("a"))

    assert caught.value.errors[0]["loc"] == [
        *("request_template", "client_context", "misc_context", "x", 0, "{{a}}"),
    ]


def test_all_faults_are_named_at_once_but_no_flood_of_them() -> None:
    with pytest.raises(BadRequestError) as caught:
        check_declaration(template(*(f"v{i}" for i in range(5_000))), declared("x", "x"))

    assert len(caught.value.errors) == 100
    assert len(caught.value.detail) < 1_000


@pytest.mark.parametrize(
    ("variable", "word"),
    [
        ({"name": "1a"}, "pattern"),
        ({"name": "a-b"}, "pattern"),
        ({"name": "a\n"}, "pattern"),
        ({"name": ""}, "pattern"),
        ({"name": "a", "required": False}, "must have a default"),
        ({"name": "a", "collection_content_type": "event"}, "collection_content_type"),
        ({"name": "a", "type": "file_id"}, "Input should be"),
        ({"name": "a", "bogus": 1}, "Extra inputs"),
    ],
)
def test_a_bad_variable_is_refused(variable: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        TemplateVariable.model_validate(variable)


def test_good_variables_are_taken() -> None:
    for variable in (
        {"name": "dataset.id", "type": "dataset_id"},
        {"name": "_a", "required": False, "default": ""},
        {"name": "c", "type": "collection_id", "collection_content_type": "event"},
    ):
        TemplateVariable.model_validate(variable)


def test_an_update_knows_left_out_from_null() -> None:
    assert UpdateAgentRequest.model_validate({}).model_fields_set == set()
    cleared = UpdateAgentRequest.model_validate({"description": None})
    assert cleared.model_fields_set == {"description"}
    for field in ("name", "request_template", "variables"):
        with pytest.raises(ValidationError, match="must not be null"):
            UpdateAgentRequest.model_validate({field: None})
