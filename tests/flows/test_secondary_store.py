"""Values are written once, stored by themselves, and only made of registered classes."""

from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.flows.model.secondary_store import SecondaryStore
from app.flows.model.versioned import SerializationError, VersionedModel, register_model


@register_model
class Note(VersionedModel):
    schema_version: ClassVar[int] = 4
    text: str = ""


class Stranger(VersionedModel):
    text: str = ""


def test_a_key_is_written_once() -> None:
    store = SecondaryStore()
    store["a"] = Note(text="1")

    with pytest.raises(KeyError, match="new"):
        store["a"] = Note(text="2")
    store.mark_persisted("a")
    with pytest.raises(KeyError, match="retrieved"):
        store["a"] = Note(text="2")
    del store["a"]
    with pytest.raises(KeyError, match="deleted"):
        store["a"] = Note(text="2")
    store.mark_persisted("a")
    store["a"] = Note(text="2")

    assert store.unpersisted_values == {"a": Note(text="2")}


def test_it_reads_like_a_dict() -> None:
    store = SecondaryStore({"a": Note(text="1"), "b": Note(text="2")})

    assert list(store) == list(store.keys()) == ["a", "b"]
    assert dict(store.items()) == {"a": Note(text="1"), "b": Note(text="2")}
    assert list(store.values())[1] == store["b"] == store.get("b")
    assert len(store) == 2
    assert "a" in store
    assert store.get("c") is None
    assert store.model_dump() == {"a": {"text": "1"}, "b": {"text": "2"}}
    with pytest.raises(KeyError):
        store["c"]
    with pytest.raises(KeyError):
        del store["c"]
    with pytest.raises(TypeError, match="str"):
        store["c"] = "text"  # type: ignore[assignment]  # what this is about


@pytest.mark.parametrize("compression", [True, False])
def test_new_values_are_stored_under_class_and_version(compression: bool) -> None:
    store = SecondaryStore.from_retrieved_values({"old": Note(text="0")})
    store["new"] = Note(text="1")

    payloads = store.unpersisted_serialized(compression)

    assert payloads.keys() == {"new"}
    assert payloads["new"].startswith(b"Note:4:1:" if compression else b"Note:4:0:")
    read = SecondaryStore.from_serialized(payloads)
    assert read["new"] == Note(text="1")
    assert not read.has_unpersisted_values


def test_a_deleted_new_value_was_never_there() -> None:
    store = SecondaryStore({"a": Note()})
    del store["a"]

    assert not store.has_deleted_values
    assert not store.has_unpersisted_values


def test_persisting_is_marked_for_all_keys_or_none() -> None:
    store = SecondaryStore({"a": Note(), "b": Note()})
    store.mark_persisted(["a"])

    with pytest.raises(KeyError, match="'a'"):
        store.mark_persisted(["b", "a"])
    with pytest.raises(KeyError, match="'c'"):
        store.mark_persisted("c")
    assert set(store.unpersisted_values) == {"b"}


def test_other_classes_are_neither_written_nor_made() -> None:
    with pytest.raises(SerializationError, match="Stranger"):
        SecondaryStore({"a": Stranger()}).unpersisted_serialized(compression=False)
    with pytest.raises(SerializationError, match="Stranger"):
        SecondaryStore.from_serialized({"a": b'Stranger:0:0:{"text":"x"}'})
    with pytest.raises(SerializationError):
        SecondaryStore.from_serialized({"a": b"\xff"})

    impostor = type("Note", (VersionedModel,), {})
    with pytest.raises(SerializationError, match="Another class"):
        SecondaryStore({"a": impostor()}).unpersisted_serialized(compression=False)


class StoreAgainstTable(RuleBasedStateMachine):
    """A store and the table it is persisted in, in any order of changes, never drift apart."""

    keys = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.store = SecondaryStore()
        self.table: dict[str, bytes] = {}
        self.wanted: dict[str, str] = {}

    @rule(key=keys, text=st.text(st.characters(exclude_categories=["Cs"])))
    def write(self, key: str, text: str) -> None:
        if key in self.store or key in self.store.deleted_keys:
            with pytest.raises(KeyError):
                self.store[key] = Note(text=text)
        else:
            self.store[key] = Note(text=text)
            self.wanted[key] = text

    @rule(key=keys)
    @precondition(lambda self: bool(self.wanted))
    def delete(self, key: str) -> None:
        if key in self.wanted:
            del self.store[key]
            del self.wanted[key]

    @rule(compression=st.booleans())
    def persist(self, compression: bool) -> None:
        written = self.store.unpersisted_serialized(compression)
        assert not written.keys() & self.table.keys()
        self.table.update(written)
        for key in self.store.deleted_keys:
            del self.table[key]
        self.store.mark_persisted([*written, *self.store.deleted_keys])
        assert not self.store.has_unpersisted_values
        assert not self.store.has_deleted_values
        assert self.table.keys() == self.wanted.keys()

    @rule()
    def read_back(self) -> None:
        self.persist(compression=True)
        self.store = SecondaryStore.from_serialized(self.table)

    @invariant()
    def holds_what_was_written(self) -> None:
        texts = {key: value.model_dump()["text"] for key, value in self.store.items()}
        assert texts == self.wanted


TestStoreAgainstTable = StoreAgainstTable.TestCase
