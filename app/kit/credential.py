"""What a key or a password may be made of: what nobody sees in it came in by mistake."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, SecretStr

from app.kit.visible import is_visible


def credential_fault(text: str) -> str | None:
    """Why a text is no key and no password; None if it may be one. Nothing of it is repeated."""
    if text != text.strip():
        return "must not begin or end with blanks or line ends"
    return None if is_visible(text) else "must not hold control or invisible characters"


def is_sendable(text: str) -> bool:
    """Whether a text can go out in a header as it is."""
    return bool(text) and text.isascii() and credential_fault(text) is None


def _check(secret: SecretStr) -> SecretStr:
    if (fault := credential_fault(secret.get_secret_value())) is not None:
        raise ValueError(fault)
    return secret


def _sendable(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().isascii():
        raise ValueError("must have ASCII characters only, as it goes out in a header")
    return secret


# A key or a password that somebody wrote into a file, a variable or a manifest.
Credential: TypeAlias = Annotated[SecretStr, AfterValidator(_check)]
HeaderCredential: TypeAlias = Annotated[Credential, AfterValidator(_sendable)]
