"""Texts of other servers, without the secrets that were sent to them."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from app.invokers.web.secret_forms import TWICE_CODED, Family, families

MIN_LENGTH = 8  # shorter ones would blank out half of an answer
_MIN_ERROR_LENGTH = 4  # and half of an error
_MASK = "***"
_TAIL = 16  # characters by whose places in a secret it is found how much of it a text ends with


class SecretMask:
    """Puts `***` for secrets, in each form in which a server may write what it was sent.

    Texts are masked whole, and cut afterwards.

    Args:
        secrets: those that were sent.
        min_length: shorter ones are left, as they are common words.
    """

    def __init__(self, secrets: Iterable[str], min_length: int = MIN_LENGTH) -> None:
        long = sorted({secret for secret in secrets if len(secret) >= min_length})
        self._families = [family for secret in long for family in families(secret)]

    @classmethod
    def of_errors(cls, secrets: Iterable[str]) -> "SecretMask":
        """The mask of an error's text, where more may be blanked out than in an answer."""
        return cls(secrets, _MIN_ERROR_LENGTH)

    def text(self, text: str, shown: int = 0) -> str:
        """The text without them, from a place on: what is before it was shown already."""
        pieces, end = [], shown
        for start, after in sorted(self._places(text)):
            if start >= end or end == shown < after:
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
        """The place up to which a text can be masked, whatever comes behind it."""
        end = self._ends.beginning(text)
        while (across := self._across(text, end)) is not None:
            end = across
        return end

    @cached_property
    def _ends(self) -> "_Beginnings":
        return _Beginnings(self._families)

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._found(text):
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + len(form))

    def _across(self, text: str, place: int) -> int | None:
        """Where a secret begins that goes on behind a place."""
        if place == len(text):
            return None
        most = self._ends.longest
        for form in self._found(text[max(0, place - most) : place + most]):
            at = text.find(form, max(0, place - len(form) + 1), place + len(form) - 1)
            if at >= 0:
                return at
        return None

    def _found(self, text: str) -> Iterator[str]:
        """The forms that may be in a text."""
        for family in self._families:
            if family.piece in text:
                yield from family.forms


class MaskedStream:
    """Masks a text that comes in pieces; holds back what may be the beginning of a secret."""

    def __init__(self, mask: SecretMask) -> None:
        self._mask = mask
        self._shown = ""  # at last, as it came: a form that is coded twice may begin there
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown once this piece has come."""
        text, shown = self._shown + self._held + piece, len(self._shown)
        end = max(shown, self._mask.certain_end(text))
        self._shown, self._held = text[:end][-(TWICE_CODED - 1) :], text[end:]
        return self._mask.text(text[:end], shown)

    def end(self) -> str:
        """What is left when the last piece was fed."""
        text, shown = self._shown + self._held, len(self._shown)
        self._shown = self._held = ""
        return self._mask.text(text, shown)


class _Beginnings:
    """Finds what a text ends with of forms; quickly where that is nothing."""

    def __init__(self, families: Iterable[Family]) -> None:
        hold_from = {form: family.hold_from for family in families for form in family.forms}
        self._forms = sorted(hold_from)
        self._all = "\0".join(self._forms)
        self._heads = {
            form[:size]
            for form, least in hold_from.items()
            for size in range(least, min(_TAIL, len(form)))
        }
        self.longest = max(map(len, self._forms), default=0)

    def beginning(self, text: str) -> int:
        """Where the end of a text starts that a form begins with; its length if there is none."""
        tail = text[-_TAIL:]
        if len(tail) == _TAIL and tail in self._all:
            return min(_beginning(text, form) for form in self._forms)
        sizes = range(len(tail), 0, -1)
        return len(text) - next((size for size in sizes if tail[-size:] in self._heads), 0)


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
