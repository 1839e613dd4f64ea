"""Page tokens: what goes in comes out, and nothing else gets through."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.paging import (
    PageTokenError,
    decode_keyset,
    decode_token,
    encode_keyset,
    encode_token,
)

# What ids and times are made of: Unicode that PostgreSQL takes.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(parts=st.lists(texts))
def test_parts_come_back(parts: list[str]) -> None:
    token = encode_token(*parts)

    assert decode_token(token) == parts
    assert token.replace("-", "").replace("_", "").isalnum()


@given(created=st.datetimes(timezones=st.just(UTC)), row_id=texts)
def test_a_keyset_comes_back(created: datetime, row_id: str) -> None:
    assert decode_keyset(encode_keyset(created, row_id)) == (created, row_id)


@given(token=st.text())
def test_other_texts_are_refused_or_hold_text(token: str) -> None:
    try:
        parts = decode_token(token)
    except PageTokenError:
        return
    assert all("\x00" not in part for part in parts)


@pytest.mark.parametrize("token", ["é", "x", "bnVsbA", "WzFd", "IngiIA", "WyJcdTAwMDAiXQ"])
def test_tokens_of_others_are_refused(token: str) -> None:
    with pytest.raises(PageTokenError):
        decode_token(token)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("2026-01-01T00:00:00+00:00",),
        ("yesterday", "agt_1"),
        ("2026-01-01T00:00:00", "agt_1"),
        ("0001-01-01T00:00:00+14:00", "agt_1"),
        ("2026-01-01T00:00:00+00:00", "agt_1", "more"),
    ],
)
def test_a_keyset_has_an_instant_and_an_id(parts: tuple[str, ...]) -> None:
    with pytest.raises(PageTokenError):
        decode_keyset(encode_token(*parts))


def test_the_zone_is_kept() -> None:
    created = datetime.now(UTC)

    assert decode_keyset(encode_keyset(created, "x"))[0].utcoffset() == timedelta(0)
