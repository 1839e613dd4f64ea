"""Texts of other servers, without the secrets that were sent to them."""

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MIN_LENGTH = 8  # shorter ones would blank out half of an answer
_MIN_ERROR_LENGTH = 4  # and half of an error
_MIN_CODED = 12  # of base64 and hex: shorter pieces come about by chance
_MASK = "***"
_TAIL = 16  # characters by whose places in a secret it is found how much of it a text ends with
# What different languages leave as it is in an address.
_UNQUOTED = ("", "/", "!'()*~", "!$&'()*+,;=:@/?")


class SecretMask:
    """Puts `***` for secrets, in each form in which a server may write what it was sent.

    Texts are masked whole, and cut afterwards.

    Args:
        secrets: those that were sent.
        min_length: shorter ones are left, as they are common words.
    """

    def __init__(self, secrets: Iterable[str], min_length: int = MIN_LENGTH) -> None:
        forms = {
            form for secret in set(secrets) if len(secret) >= min_length for form in _forms(secret)
        }
        self._forms = sorted(forms)

    @classmethod
    def of_errors(cls, secrets: Iterable[str]) -> "SecretMask":
        """The mask of an error's text, where more may be blanked out than in an answer."""
        return cls(secrets, _MIN_ERROR_LENGTH)

    def text(self, text: str) -> str:
        """The text without them."""
        pieces, end = [], 0
        for start, after in sorted(self._places(text)):
            if start >= end:
                pieces += [text[end:start], _MASK]
            end = max(end, after)
        return "".join([*pieces, text[end:]])

    def value(self, value: Any) -> Any:
        """The JSON value without them, in names and texts."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {self.text(key): self.value(item) for key, item in value.items()}
            case _:
                return value

    def stream(self) -> "MaskedStream":
        """The mask of a text that comes in pieces."""
        return MaskedStream(self)

    def certain_end(self, text: str) -> int:
        """The end up to which a text can be masked, whatever comes behind it."""
        end = min((_beginning(text, form) for form in self._forms), default=len(text))
        while (across := self._across(text, end)) is not None:
            end = across
        return end

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + len(form))

    def _across(self, text: str, place: int) -> int | None:
        """Where a secret begins that goes on behind a place."""
        for form in self._forms:
            at = text.find(form, max(0, place - len(form) + 1), place + len(form) - 1)
            if at >= 0:
                return at
        return None


class MaskedStream:
    """Masks a text that comes in pieces; holds back what may be the beginning of a secret."""

    def __init__(self, mask: SecretMask) -> None:
        self._mask = mask
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown once this piece has come."""
        text = self._held + piece
        end = self._mask.certain_end(text)
        self._held = text[end:]
        return self._mask.text(text[:end])

    def end(self) -> str:
        """What is left when the last piece was fed."""
        text, self._held = self._mask.text(self._held), ""
        return text


def _beginning(text: str, form: str) -> int:
    """Where the end of a text starts that a form begins with; its length if there is none."""
    tail = text[-_TAIL:]
    at = form.rfind(tail, 0, len(form) - 1) if tail else -1
    while at >= 0:
        start = len(text) - len(tail) - at
        if start >= 0 and form.startswith(text[start:]):
            return start
        at = form.rfind(tail, 0, at + len(tail) - 1)
    shorter = range(min(len(tail), len(form)) - 1, 0, -1)
    return len(text) - next((size for size in shorter if form.startswith(text[-size:])), 0)


def _forms(secret: str) -> set[str]:
    raw = secret.encode(errors="replace")
    texts = {secret, repr(secret)[1:-1], repr(raw)[2:-1], raw.decode("latin-1")}
    texts |= {html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;")}
    for _ in range(3):  # also JSON within JSON
        texts |= {form for text in list(texts) for form in _json_forms(text)}
    quoted = {quote(raw, safe=safe) for safe in _UNQUOTED}
    quoted |= {quote_plus(secret, safe=safe, errors="replace") for safe in _UNQUOTED}
    coded = {raw.hex(), raw.hex().upper(), *_base64_forms(raw)}
    return (
        texts
        | {form for text in quoted for form in (text, _lower_hex(text))}
        | {form for form in coded if len(form) >= _MIN_CODED}
    )


def _json_forms(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The whole, and what is the same wherever in a longer text it stands."""
    encoders: tuple[Callable[[bytes], bytes], ...] = (base64.b64encode, base64.urlsafe_b64encode)
    for encode in encoders:
        yield encode(raw).decode()
        for before in range(3):
            longer = bytes(before) + raw
            yield encode(longer).decode()[-(-before * 8 // 6) : len(longer) * 8 // 6]


def _lower_hex(quoted: str) -> str:
    first, *others = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in others)])
