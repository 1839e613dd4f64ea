"""A secret is masked however it is written, and one way of writing it within another."""

import base64
import html
import json
from collections.abc import Callable, Iterator
from itertools import product
from urllib.parse import quote, quote_plus

from hypothesis import example, given
from hypothesis import strategies as st

from app.invokers.web.secret_texts import SecretMask


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _quoted(text: str) -> str:
    return quote(text, safe="")


TEXTS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": _in_json,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "percent": _quoted,
    "a path": quote,
    "a form": quote_plus,
    "markup": html.escape,
    "repr": lambda text: repr(text)[1:-1],
}
CODES: dict[str, Callable[[str], str]] = {
    "base64": _base64,
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}
WITHIN_CODE = ("as it is", "JSON", "JSON in UTF-8", "percent", "a path", "markup")
# What is in what.
PAIRS = [
    *product(TEXTS, TEXTS),
    *product(WITHIN_CODE, CODES),
    *product(CODES, CODES),
    *product(CODES, TEXTS),
]
_WAYS = TEXTS | CODES
_ENDS = 6  # characters of base64 that hold a bit of what stands beside a secret, twice over
_SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Cf", "Cs"]),
    min_size=12,
    max_size=24,
)


def pieces(text: str, sizes: list[int]) -> Iterator[str]:
    at, number = 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        yield text[at : at + size]
        at, number = at + size, number + 1


@given(
    secret=_SECRETS,
    pair=st.sampled_from(PAIRS),
    before=st.sampled_from(["", "x", "xy", "Basic ", "Bearer: "]),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=3),
)
@example("abcdefghijkl", ("base64", "base64"), "", [1])
def test_a_secret_is_masked_in_whatever_it_is_written(
    secret: str, pair: tuple[str, str], before: str, sizes: list[int]
) -> None:
    inner, outer = (_WAYS[name] for name in pair)
    core = outer(inner(secret))
    whole = outer(f"{before}{inner(secret)}.!")
    mask = SecretMask([secret])
    stream = mask.stream()
    fed = "".join([*map(stream.feed, pieces(f"<{whole}>", sizes)), stream.end()])
    for shown in (mask.text(f"<{core}>"), mask.text(f"<{whole}>"), fed):
        assert "***" in shown
        left = max(shown[1:-1].split("***"), key=len)
        assert len(left) <= len(outer(f"{before}..")) + _ENDS
