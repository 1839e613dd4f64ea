"""Texts of other servers, without the secrets that were sent to them."""

import json
from collections.abc import Iterable

_MIN_LENGTH = 4  # shorter ones would blank out half of a text


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with `***` for each secret, also as JSON writes it."""
    written = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    for secret in sorted(written, key=len, reverse=True):
        if len(secret) >= _MIN_LENGTH:
            text = text.replace(secret, "***")
    return text
