"""Moments as clients write them."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.kit.moment import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00+02:00", datetime(2030, 1, 31, 10, tzinfo=UTC)),
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_with_an_offset_or_a_date_is_a_moment(text: str, moment: datetime) -> None:
    assert MOMENT.validate_python(text) == moment


@pytest.mark.parametrize(
    "value",
    [
        0,
        1_700_000_000,
        1.5,
        True,
        "1700000000",
        "20300131",
        "-1",
        "",
        "now",
        "2030-13-01",
        "2030-02-30",
        "2030-01-31T12:00:00",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "10000-01-01T00:00:00Z",
        None,
        [],
        {},
    ],
)
def test_what_is_no_moment_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(value)


@given(st.text() | st.integers() | st.floats() | st.datetimes().map(datetime.isoformat))
def test_nothing_but_a_refusal_comes_of_any_value(value: Any) -> None:
    with contextlib.suppress(ValidationError):
        assert MOMENT.validate_python(value).tzinfo is UTC
