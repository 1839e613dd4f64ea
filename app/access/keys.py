"""The format of an API key, and what is stored of it.

`swk_` + 26 characters of the key's id + 32 random ones + 6 check digits, all letters and digits.
Secret scanners find leaked keys by the prefix and the check digits; mistyped ones are refused
without a query.
"""

import hmac
import secrets
import string
import zlib

from app.kit.ids import new_id

PREFIX = "swk_"
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH = 26
_RANDOM_LENGTH = 32  # of 62 digits: 190 bits
_CHECK_LENGTH = 6  # 62**6 > 2**32
_KEY_LENGTH = len(PREFIX) + _ID_LENGTH + _RANDOM_LENGTH + _CHECK_LENGTH


def generate_key() -> tuple[str, str]:
    """A new key: its id (`key_…`, no secret) and the key itself."""
    key_id = new_id("key")
    random = "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_LENGTH))
    unchecked = PREFIX + key_id.removeprefix("key_") + random
    return key_id, unchecked + _check_digits(unchecked)


def key_id_of(api_key: str) -> str | None:
    """The id of a key, or None if it is no key of ours or was mistyped."""
    if len(api_key) != _KEY_LENGTH or not api_key.startswith(PREFIX) or not api_key.isascii():
        return None
    unchecked, check = api_key[:-_CHECK_LENGTH], api_key[-_CHECK_LENGTH:]
    if check != _check_digits(unchecked):
        return None
    return f"key_{unchecked[len(PREFIX) : len(PREFIX) + _ID_LENGTH]}"


def digest_key(secret_key: str, api_key: str) -> bytes:
    """What is stored of a key: its HMAC-SHA256, 32 bytes."""
    return hmac.digest(secret_key.encode(), api_key.encode(), "sha256")


def _check_digits(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
