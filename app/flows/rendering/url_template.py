"""A URL's path as a template: each value goes in percent-encoded, so that none adds a segment."""

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import jinja2

from app.flows.rendering.jinja import SANDBOX, TemplateError
from app.kit.invalid import InvalidValueError

# A segment that is one of these would lead elsewhere.
_ELSEWHERE = ("", ".", "..")


def url_parts(text: str) -> list[tuple[str, bool]]:
    """Its pieces in order: plain texts (False), and expressions in their braces (True).

    Raises:
        InvalidValueError: it holds a block or a comment, or is no template.
    """
    parts: list[tuple[str, bool]] = []
    try:
        for _, kind, value in SANDBOX.lex(text):
            match kind:
                case "data" | "variable_begin":
                    parts.append((value, kind == "variable_begin"))
                case "block_begin" | "comment_begin":
                    raise InvalidValueError("may have {{ … }} in it, but no block and no comment")
                case _:
                    parts[-1] = (parts[-1][0] + value, True)
    except jinja2.TemplateSyntaxError as error:
        raise InvalidValueError(error.message or "is no template") from None
    return parts


async def render_url(text: str, render: Callable[[str], Awaitable[str]]) -> str:
    """The path with what its expressions come to.

    Args:
        text: a path that `url_parts` takes.
        render: renders one expression.

    Raises:
        TemplateError: an expression cannot be rendered, or comes to nothing or to dots.
    """
    pieces = []
    for part, is_expression in url_parts(text):
        if not is_expression:
            pieces.append(part)
            continue
        value = await render(part)
        if value in _ELSEWHERE:
            raise TemplateError(f"{part[:100]} in the path comes to {value!r}")
        pieces.append(quote(value, safe=""))
    return "".join(pieces)
