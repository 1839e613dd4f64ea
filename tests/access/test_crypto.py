"""The vault: what it encrypts can be read in its place only, with the key that it was made with."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from app.access.crypto import DecryptionError, EncryptionKeyError, SecretLocation, Vault

PLACE = SecretLocation("org_1", "Secret", "key")


def key(key_id: str, byte: bytes) -> SecretStr:
    return SecretStr(f"{key_id}:{base64.b64encode(byte * 32).decode()}")


OLD, NEW = key("old", b"o"), key("new", b"n")


@given(st.text())
def test_gives_back_what_it_got(text: str) -> None:
    vault = Vault([OLD])
    try:
        key_id, sealed = vault.encrypt(text, PLACE)
    except UnicodeEncodeError:
        return  # half a surrogate pair: the loader refuses it
    assert vault.decrypt(key_id, sealed, PLACE) == text
    assert text.encode() not in sealed or len(text) < 3


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    key_id, sealed = Vault([OLD]).encrypt("text", PLACE)
    rotated = Vault([NEW, OLD])

    assert rotated.decrypt(key_id, sealed, PLACE) == "text"
    assert rotated.encrypt("text", PLACE)[0] == "new"
    with pytest.raises(DecryptionError, match="no encryption key 'old'"):
        Vault([NEW]).decrypt(key_id, sealed, PLACE)


@pytest.mark.parametrize("moved", [{"org_id": "org_2"}, {"kind": "Other"}, {"name": "key2"}])
def test_a_moved_ciphertext_cannot_be_read(moved: dict[str, str]) -> None:
    vault = Vault([OLD])
    key_id, sealed = vault.encrypt("text", PLACE)

    with pytest.raises(DecryptionError, match="changed or moved"):
        vault.decrypt(key_id, sealed, replace(PLACE, **moved))


def test_a_changed_ciphertext_cannot_be_read() -> None:
    vault = Vault([OLD])
    key_id, sealed = vault.encrypt("text", PLACE)

    for broken in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", sealed[:5]):
        with pytest.raises(DecryptionError):
            vault.decrypt(key_id, broken, PLACE)


def test_the_same_text_is_never_the_same_ciphertext() -> None:
    vault = Vault([OLD])
    assert vault.encrypt("text", PLACE)[1] != vault.encrypt("text", PLACE)[1]


@pytest.mark.parametrize(
    "wrong",
    ["", "kk", "kk:", "k:short", ":" + "A" * 43 + "=", "k:" + "A" * 42 + "=", "k:" + "ä" * 43],
)
def test_a_wrong_key_is_refused_and_not_told(wrong: str) -> None:
    with pytest.raises(EncryptionKeyError) as caught:
        Vault([SecretStr(wrong)])
    assert "number 1" in str(caught.value)
    assert not wrong or wrong not in str(caught.value)


def test_two_keys_need_two_ids() -> None:
    with pytest.raises(EncryptionKeyError, match="'old'"):
        Vault([OLD, key("old", b"x")])


def test_without_a_key_nothing_is_kept() -> None:
    with pytest.raises(EncryptionKeyError, match="STATEWRIGHT_SECURITY__ENCRYPTION_KEYS"):
        Vault([]).encrypt("text", PLACE)
