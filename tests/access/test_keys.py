"""The format of API keys: unguessable, recognisable, checked for typos."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.access.keys import digest_key, generate_key, key_id_of


def test_the_id_is_found_from_the_key_alone() -> None:
    key_id, api_key = generate_key()

    assert key_id_of(api_key) == key_id
    assert key_id.startswith("key_")


def test_a_key_looks_like_what_scanners_are_told_to_look_for() -> None:
    _, api_key = generate_key()

    assert re.fullmatch(r"swk_[0-9a-z]{26}[0-9A-Za-z]{38}", api_key)


def test_the_random_parts_of_keys_differ() -> None:
    randoms = {generate_key()[1][30:62] for _ in range(200)}

    assert len(randoms) == 200


@given(position=st.integers(0, 67), char=st.characters())
def test_one_wrong_character_is_noticed(position: int, char: str) -> None:
    _, api_key = generate_key()
    mistyped = api_key[:position] + char + api_key[position + 1 :]

    assert (key_id_of(mistyped) is None) == (mistyped != api_key)


@given(text=st.text())
def test_other_texts_are_no_keys(text: str) -> None:
    assert key_id_of(text) is None
    assert key_id_of(f"swk_{text}") is None


def test_the_digest_depends_on_the_key_and_on_the_secret() -> None:
    digest = digest_key("secret", "swk_1")

    assert len(digest) == 32
    assert digest == digest_key("secret", "swk_1")
    assert digest != digest_key("secret", "swk_2")
    assert digest != digest_key("other", "swk_1")
