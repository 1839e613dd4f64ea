"""The forms in which a server may write what it was sent, also one within another.

Of a secret there are the text, as JSON, markup, addresses and `repr` write it; base64 and hex of
that; and base64 and hex of base64 and hex.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import product
from urllib.parse import quote, quote_plus

TWICE_CODED = 4  # characters that are no three of the secret
_MIN_CODED = 12  # of base64 and hex: shorter pieces come about by chance
# What different languages leave as it is in an address.
_UNQUOTED = ("", "/", "!'()*~", "!$&'()*+,;=:@/?")
_MAX_NESTED = 200  # characters of a text that is looked for within a text; few keys are as long
# No way to write a text changes these, and none a text of these alone.
_UNCHANGED = re.compile("[A-Za-z0-9]+")
_PLAIN = re.compile("[A-Za-z0-9._~-]+")


class Family:
    """Forms that have a piece in common: where it is not, none of them is.

    Args:
        source: each form has its longest run of letters and digits.
        forms: makes them, once the piece was found.
        hold_from: how long a beginning of a form is that a stream holds back.
    """

    def __init__(self, source: str, forms: Callable[[], Iterable[str]], hold_from: int = 1) -> None:
        self.piece = max(_UNCHANGED.findall(source), key=len, default="")
        self.hold_from = hold_from
        self._make = forms

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(sorted(set(self._make())))


def families(secret: str) -> Iterator[Family]:
    """The forms of a secret: some hundreds at the most, and most of them are never made."""
    yield Family(secret, lambda: _texts(secret))
    raw = secret.encode(errors="replace")
    in_json = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    written = {secret, *in_json, quote(raw), quote(raw, safe=""), html.escape(secret)}
    sources = [text.encode(errors="replace") for text in written]
    once = {pair for source in sources for pair in (*_coded(source), (source.hex().upper(),) * 2)}
    for core, whole in sorted(once):
        yield Family(core, partial(_escaped, core, whole))
    inner = {form for core, _ in _coded(raw) for form in (core, _url_safe(core))}
    twice = {pair for form in inner for pair in _coded(form.encode())}
    for core, whole in sorted(twice - once):
        yield Family(core, partial(_escaped, core, whole), TWICE_CODED)


def _texts(secret: str) -> set[str]:
    """The secret as texts hold it, also one within another; JSON three deep."""
    written = _written(secret)
    nested = written.union(*map(_written, written)) if len(secret) <= _MAX_NESTED else written
    in_json = _shown(secret)
    for _ in range(3):
        in_json = in_json.union(*map(_json_forms, in_json))
    return nested | in_json


def _written(text: str) -> set[str]:
    if _PLAIN.fullmatch(text):
        return {text}
    writers = product((quote, quote_plus), _UNQUOTED)
    quoted = {write(text, safe=safe, errors="replace") for write, safe in writers}
    return _shown(text).union(quoted, map(_lower_hex, quoted), _json_forms(text))


def _shown(text: str) -> set[str]:
    raw, markup = text.encode(errors="replace"), html.escape(text)
    texts = {text, repr(text)[1:-1], repr(raw)[2:-1], raw.decode("latin-1")}
    return texts | {markup, markup.replace("&#x27;", "&#39;")}


def _json_forms(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _coded(raw: bytes) -> Iterator[tuple[str, str]]:
    """Base64 and hex: each with what of it is the same wherever in a longer text it stands."""
    yield raw.hex(), raw.hex()
    for before in range(3):
        longer = bytes(before) + raw
        whole = base64.b64encode(longer).decode()
        core = whole[-(-before * 8 // 6) : len(longer) * 8 // 6]
        yield core, core if before else whole


def _escaped(*coded: str) -> set[str]:
    """Coded forms in both alphabets, and as JSON and addresses hold them."""
    forms = {form for form in coded if len(form) >= _MIN_CODED}
    forms |= {form.replace("/", "\\/") for form in forms} | set(map(_url_safe, forms))
    for kept, hex_of in product(("/", ""), (str.upper, str.lower)):
        for form in list(forms):
            quoted = form
            for char in "+=/".replace(kept, ""):
                quoted = quoted.replace(char, hex_of(f"%{ord(char):02X}"))
            forms |= {quoted, quoted.replace("%", "%25")}
    return forms


def _url_safe(coded: str) -> str:
    return coded.replace("+", "-").replace("/", "_")


def _lower_hex(quoted: str) -> str:
    first, *others = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in others)])
