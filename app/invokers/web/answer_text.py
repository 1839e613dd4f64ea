"""The text of an answer's body, whatever the other side sends."""

import httpx2

# Others can be slow to decode, or are no encodings of text.
_CHARSETS = frozenset({"iso-8859-1", "latin-1", "windows-1252", "utf-16", "us-ascii"})


def answer_text(response: httpx2.Response, body: bytes) -> str:
    """The body as text; where it is none, a note that says what was answered.

    Args:
        response: the answer without its body.
        body: the beginning of it; the last character may be cut off.
    """
    charset = (response.charset_encoding or "").lower()
    try:
        if charset in _CHARSETS:
            return body.decode(charset)
        return _utf8(body)
    except UnicodeDecodeError:
        type_ = response.headers.get("content-type", "no type")[:100]
        return f"[the answer is no text; its type: {type_}]"


def _utf8(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and len(body) - error.start < 4:  # noqa: PLR2004 - the longest character
            return body[: error.start].decode()
        raise
