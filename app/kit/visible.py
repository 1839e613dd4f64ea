"""Which characters of a name nobody sees: two names that look the same could differ in them alone.

Controls, surrogates, separators of lines and paragraphs, blanks that are no space, and what Unicode
calls Default_Ignorable: joiners, marks of direction, soft hyphens, fillers, variation selectors.
A joiner that makes one emoji of two is seen.
"""

import re

# Of those that `str.isprintable` takes for printable.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_EMOJI = "[\u2190-\u2bff\U0001f000-\U0001faff]"
_JOINED_EMOJI = re.compile(f"(?<={_EMOJI})\ufe0f?\u200d(?={_EMOJI})")


def is_visible(text: str) -> bool:
    """Whether each character of a text can be seen, or is a space."""
    text = _JOINED_EMOJI.sub("", text)
    return text.isprintable() and not _FILLERS.search(text)
