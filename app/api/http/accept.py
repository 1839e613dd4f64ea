"""Content negotiation: which of several media types a client would have."""

from app.errors import NotAcceptableError

_Range = tuple[str, float]


def choose(header: str | None, offered: list[str]) -> str:
    """The offered media type that an `Accept` header ranks highest; the first among equals.

    Args:
        header: the header's value; without one, or an empty one, anything is welcome.
        offered: media types, the preferred ones first.

    Raises:
        NotAcceptableError: none of them is acceptable.
    """
    ranges = [_parse(part) for part in (header or "*/*").split(",") if part.strip()]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if ranges and not _quality(best, ranges):
        raise NotAcceptableError(f"This is there as {', '.join(offered)} only.")
    return best


def _parse(part: str) -> _Range:
    pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = _number(value)
    return pattern, quality


def _number(text: str) -> float:
    """A quality from 0 to 1; what is none counts as not acceptable."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 <= number <= 1 else 0.0


def _quality(media_type: str, ranges: list[_Range]) -> float:
    """What the most specific range that fits says."""
    for pattern in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        found = [quality for name, quality in ranges if name == pattern]
        if found:
            return max(found)
    return 0.0
