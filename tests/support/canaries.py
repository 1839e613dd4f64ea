"""Secrets of unlike shapes, and every way in which they might be written somewhere."""

import base64
import html
import json
from functools import cache
from hashlib import sha256
from urllib.parse import quote, quote_plus

# What a header can carry.
SENDABLE = {
    "plain": "canary-0001-abcdefgh",
    "quotes": "canary-0002-'\"'\"-x",
    "backslashes": "canary-0003\\n\\\\x\\u0041",
    "percent": "canary-0004%41%%2B+a b",
    "JSON": '{"canary-0005": ["a", 1]}',
    "base64": "Y2FuYXJ5LTAwMDY+/abcd==",
    "long": "canary-0007-" + "".join(sha256(bytes([n])).hexdigest() for n in range(14)),
    "markup": "canary-0008<b>&amp;'</b>",
    "around another": "xx-canary-0001-abcdefgh-yy",
    "its own parts": "canary-0010canary-0010canary-0010",
}
# What goes out only within base64.
OTHERS = {
    "letters of others": "canary-0011-é中🙂ß",
    "a pair": "canary-0012:with:colons",
}
CANARIES = {**SENDABLE, **OTHERS}
_CORE = 12  # characters of base64 that no chance brings about


@cache
def written(secret: str) -> frozenset[str]:
    """The forms of a secret: none of them may be where clients or operators read."""
    raw = secret.encode()
    texts = {secret, repr(secret)[1:-1], repr(raw)[2:-1], html.escape(secret)}
    for ascii_only in (True, False, True):  # also JSON within JSON within JSON
        texts |= {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in list(texts)}
    for safe in ("", "/", "!'()*~", "!$&'()*+,;=:@/?"):
        texts |= {quote(raw, safe=safe), quote_plus(secret, safe=safe)}
    return frozenset(texts | _base64(raw) | {raw.hex()})


def _base64(raw: bytes) -> set[str]:
    """What of base64 is the secret's alone, wherever in it the secret stands."""
    found: set[str] = set()
    for before in range(3):
        whole = b"\0" * before + raw
        start, end = -(-before * 8 // 6), len(whole) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(whole).decode()[start:end])
    return {core for core in found if len(core) >= _CORE}


def leaked(text: str, *secrets: str) -> list[str]:
    """The forms of secrets that a text holds."""
    return [form for secret in secrets for form in written(secret) if form in text]


def echoes(*sent: str) -> str:
    """Texts in the ways in which servers write what they were sent."""
    lines: list[str] = []
    for text in sent:
        coded = base64.b64encode(text.encode()).decode()
        pair = base64.b64encode(f"me:{text}".encode()).decode()
        bearer = base64.b64encode(f"Bearer {text}".encode()).decode()
        lines += [text, json.dumps({"h": text}), json.dumps({"h": text}, ensure_ascii=False)]
        lines += [json.dumps({"said": json.dumps({"h": text})}), repr({"h": text.encode()})]
        lines += [quote(text), quote(text, safe=""), coded, pair, bearer]
        lines += [repr({"h": text}), f"Authorization: Basic {pair}", json.dumps([text])]
    return "\n".join(lines)
