"""Encryption of stored secrets: AES-GCM, bound to where the ciphertext belongs."""

import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

_KEY_BYTES = 32
_NONCE_BYTES = 12


class EncryptionKeyError(ValueError):
    """The settings hold no usable key; the text shows none of it."""


class DecryptionError(Exception):
    """The key is gone, or the ciphertext was changed or belongs to another row."""


@dataclass(frozen=True, slots=True)
class SecretLocation:
    """The place that a ciphertext belongs to: moved to another place, it cannot be read."""

    org_id: str
    kind: str
    name: str

    def as_bytes(self, key_id: str) -> bytes:
        """The associated data."""
        return json.dumps([key_id, self.org_id, self.kind, self.name]).encode()


class Vault:
    """Encrypts with the first key of the settings, decrypts with any of them.

    Args:
        keys: `id:base64` of 32 bytes each.

    Raises:
        EncryptionKeyError: one of them is not of this form, or two have one id.
    """

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys: dict[str, AESGCM] = {}
        for number, key in enumerate(keys, 1):
            key_id, cipher = _parse(key.get_secret_value(), number)
            if key_id in self._keys:
                raise EncryptionKeyError(f"Two encryption keys have the id {key_id!r}.")
            self._keys[key_id] = cipher

    @property
    def key_id(self) -> str:
        """The id of the key that encrypts.

        Raises:
            EncryptionKeyError: there is none.
        """
        for key_id in self._keys:
            return key_id
        raise EncryptionKeyError(
            "Secrets cannot be kept: STATEWRIGHT_SECURITY__ENCRYPTION_KEYS is not set. Set it to "
            "an id, a colon and the output of `openssl rand -base64 32`."
        )

    def encrypt(self, text: str, place: SecretLocation) -> tuple[str, bytes]:
        """The id of the key, and nonce and ciphertext in one.

        Raises:
            EncryptionKeyError: there is no key.
        """
        key_id = self.key_id
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._keys[key_id].encrypt(nonce, text.encode(), place.as_bytes(key_id))
        return key_id, nonce + sealed

    def decrypt(self, key_id: str, ciphertext: bytes, place: SecretLocation) -> str:
        """What was encrypted.

        Raises:
            DecryptionError: the settings do not have the key, or the ciphertext is not of this
                place or not whole.
        """
        cipher = self._keys.get(key_id)
        if cipher is None:
            raise DecryptionError(f"The settings have no encryption key {key_id!r}.")
        nonce, sealed = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, sealed, place.as_bytes(key_id)).decode()
        except (InvalidTag, ValueError):
            raise DecryptionError(
                f"{place.kind} {place.name!r} cannot be decrypted: it was changed or moved."
            ) from None


def _parse(key: str, number: int) -> tuple[str, AESGCM]:
    key_id, _, encoded = key.partition(":")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not key_id or len(raw) != _KEY_BYTES:
        raise EncryptionKeyError(
            f"Encryption key number {number} is not `id:base64` of {_KEY_BYTES} bytes."
        )
    return key_id, AESGCM(raw)
