"""What is stored comes back as it was, or is refused with a reason that shows no data."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue, computed_field
from typing_extensions import override

from app.flows.model.versioned import (
    SerializationError,
    VersionedModel,
    register_model,
    registered_model,
)


class Order(VersionedModel):
    schema_version: ClassVar[int] = 3

    name: str = ""
    count: int = 0
    price: float = 0.0
    blob: bytes = b""
    at: datetime | None = None
    key: UUID | None = None
    tags: dict[str, list[str | None]] = Field(default_factory=dict)
    extra: JsonValue = None

    @computed_field
    @property
    def total(self) -> float:
        return self.count * self.price

    @computed_field
    @property
    def label(self) -> str:
        return f"{self.count} x {self.name}"

    @classmethod
    @override
    def upgrade_schema(cls, from_version: int, data: dict[str, Any]) -> dict[str, Any]:
        if from_version < 1:
            raise ValueError("version 0 had no names")
        return {**data, "name": data.pop("title"), "at": datetime(2026, 1, 1, tzinfo=UTC)}


class Plain(VersionedModel):
    schema_version: ClassVar[int] = 2
    secret: int = 0


# PostgreSQL takes any text without NUL; a lone surrogate is no text.
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
orders = st.builds(
    Order,
    name=texts,
    count=st.integers(-(10**30), 10**30),
    price=st.floats(allow_nan=False),
    blob=st.binary(),
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
    key=st.none() | st.uuids(),
    tags=st.dictionaries(texts, st.lists(st.none() | texts)),
    extra=json_values,
)


@given(order=orders, compression=st.booleans())
def test_a_model_comes_back_as_it_was(order: Order, compression: bool) -> None:
    data = order.serialize(compression)

    assert data.startswith(b"3:1:" if compression else b"3:0:")
    assert Order.deserialize(data) == order


def test_computed_fields_stay_out_except_those_named() -> None:
    order = Order(name="bolt", count=2, price=1.5)

    assert b"total" not in order.serialize()
    assert order.serialize(include={"name", "total"}) == b'3:0:{"name":"bolt","total":3.0}'
    assert order.serialize(include={"name", "count"}) == b'3:0:{"name":"bolt","count":2}'
    assert order.serialize(include={"count", "label"}, exclude={"count"}) == (
        b'3:0:{"label":"2 x bolt"}'
    )
    assert b'"name"' not in order.serialize(exclude={"name"})


def test_an_older_version_is_upgraded() -> None:
    order = Order.deserialize(b'1:0:{"title":"bolt","count":2}')

    assert (order.name, order.count) == ("bolt", 2)
    assert order.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert order.serialize().startswith(b"3:0:")


@pytest.mark.parametrize("stored", [7, 0])
def test_a_version_without_a_way_is_refused_with_both_numbers(stored: int) -> None:
    with pytest.raises(SerializationError, match=rf"schema version {stored}, not 3"):
        Order.deserialize(b'%d:0:{"title":"x"}' % stored)


def test_no_upgrade_is_the_default() -> None:
    with pytest.raises(SerializationError, match=r"version 1, not 2.*no upgrade from 1"):
        Plain.deserialize(b"1:0:{}")


def test_an_upgrade_that_breaks_is_refused() -> None:
    with pytest.raises(SerializationError, match=r"version 2, not 3.*KeyError"):
        Order.deserialize(b'2:0:{"no":"title"}')


ZEROS = zstandard.ZstdCompressor().compress(bytes(200_000_000))
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress(b"{}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"3",
        b"3:0",
        b"3:2:{}",
        b"-1:0:{}",
        b"x:0:{}",
        b"99999999999999999999:0:{}",
        b"3:0:",
        b"3:0:{",
        b"3:0:[]",
        b"1:0:[]",
        b"1:0:{",
        b"3:1:{}",
        b"3:1:" + ZEROS,
        b"3:1:" + UNSIZED,
        Order(name="x" * 100).serialize(compression=True)[:-3],
        Order(name="x" * 100).serialize(compression=True) + b"more",
    ],
)
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SerializationError):
        Order.deserialize(data)


@given(data=st.binary() | st.binary().map(lambda tail: b"3:1:" + tail))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    with pytest.raises(SerializationError):
        Order.deserialize(data)


def test_errors_show_the_field_and_not_its_value() -> None:
    with pytest.raises(SerializationError, match="secret") as caught:
        Plain.deserialize(b'2:0:{"secret":"hunter2"}')

    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.status == 409


def test_a_value_of_the_wrong_type_fails_before_it_is_stored() -> None:
    order = Order()
    order.count = "many"  # type: ignore[assignment]  # what this is about

    with pytest.raises(SerializationError, match="Order"):
        order.serialize()


def test_threads_may_compress_at_once() -> None:
    order = Order(name="bolt" * 1000)
    read: list[Order] = []

    def work() -> None:
        read.extend(Order.deserialize(order.serialize(compression=True)) for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read == [order] * 400


def test_only_registered_classes_are_found_and_names_are_unique() -> None:
    @register_model
    class Invoice(VersionedModel):
        pass

    assert registered_model("Invoice") is Invoice
    assert register_model(Invoice) is Invoice
    with pytest.raises(ValueError, match="Invoice"):
        register_model(type("Invoice", (VersionedModel,), {}))
    with pytest.raises(SerializationError, match=r"os\.system"):
        registered_model("os.system")


def test_a_model_is_read_and_written_in_microseconds() -> None:
    order = Order(name="bolt", count=2, at=datetime.now(UTC), tags={"a": ["b"] * 20})
    started = datetime.now(UTC)

    for _ in range(1000):
        Order.deserialize(order.serialize(compression=True))

    assert datetime.now(UTC) - started < timedelta(seconds=1)
