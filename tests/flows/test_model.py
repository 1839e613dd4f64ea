"""A session model stores its own fields, reads its input, and is seeded by strangers."""

import pytest
from pydantic import ValidationError

from app.errors import BadRequestError
from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.session_model import SessionModel
from app.flows.model.versioned import VersionedModel


class Capture(SessionModel):
    user_name: str | None = None
    age: int = 0


class Page(VersionedModel):
    text: str = ""


def test_only_its_own_fields_are_stored() -> None:
    model = Capture(user_name="Ada", session_id="ath_1", state="intro", actor_input="secret")
    model.secondary_store["page"] = Page(text="long")

    assert model.serialize() == b'0:0:{"user_name":"Ada","age":0}'
    assert Capture.own_fields() == {"user_name", "age"}
    read = Capture.deserialize(model.serialize())
    assert (read.session_id, read.state, read.actor_input) == ("", "", "")
    assert not read.secondary_store


def test_each_model_has_a_store_of_its_own() -> None:
    first, second = Capture(), Capture()
    first.secondary_store["page"] = Page()

    assert "page" not in second.secondary_store
    second.secondary_store = SecondaryStore.from_retrieved_values({"old": Page()})
    assert not second.secondary_store.has_unpersisted_values


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ('{"name": "Ada"}', {"name": "Ada"}),
        (" \n[1, 2]", [1, 2]),
        ('"Ada"', '"Ada"'),
        ("12", 12),
        (" -1.5e3\n", -1500.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("-", "-"),
        ("007", "007"),
        ("1 2", "1 2"),
        ("nullify", "nullify"),
        ("1" * 30, "1" * 30),
        ("1" * 1_000_000, "1" * 1_000_000),
        ("1e999", "1e999"),
        ("NaN", "NaN"),
        ("", ""),
        ("{not json", "{not json"),
        ("[NaN]", "[NaN]"),
        ("[" * 5000, "[" * 5000),
        ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
    ],
)
def test_json_but_for_texts_is_parsed_and_all_else_is_text(text: str, parsed: object) -> None:
    assert Capture(actor_input=text).parsed_actor_input == parsed


def test_the_parsed_input_follows_the_input() -> None:
    model = Capture(actor_input='{"a": 1}')
    first = model.parsed_actor_input

    assert model.parsed_actor_input is first
    model.actor_input = '{"a": 2}'
    assert model.parsed_actor_input == {"a": 2}


def test_a_wrong_type_fails_when_it_is_assigned() -> None:
    model = Capture()

    with pytest.raises(ValidationError):
        model.age = "old"  # type: ignore[assignment]  # what this is about


def test_a_model_is_seeded_with_its_own_fields() -> None:
    assert Capture.seed({"user_name": "Ada"}).user_name == "Ada"
    assert Capture.seed({}) == Capture()


@pytest.mark.parametrize("name", ["nobody", "session_id", "state", "secondary_store", "_parsed"])
def test_nothing_else_can_be_seeded(name: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        Capture.seed({name: "x", "user_name": "Ada"})

    assert caught.value.errors == [{"loc": ["seed_data", name], "msg": "unknown field"}]


def test_a_seed_that_does_not_fit_is_refused_with_its_place() -> None:
    with pytest.raises(BadRequestError) as caught:
        Capture.seed({"age": "hunter2", "user_name": 5})

    assert sorted(map(str, (fault["loc"] for fault in caught.value.errors))) == [
        "['seed_data', 'age']",
        "['seed_data', 'user_name']",
    ]
    assert "hunter2" not in str(caught.value.errors)
