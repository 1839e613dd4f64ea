"""Templates that only put names into text: rendered at once, since they cannot take long."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes

from app.flows.rendering.jinja import MAX_PARSED, SANDBOX, joined
from app.sizes.weighed_cache import WeighedCache

Parts = tuple[str | nodes.Name, ...]


_PARSED: WeighedCache[str, tuple[Parts | None]] = WeighedCache(MAX_PARSED)


def plain_parts(text: str) -> Parts | None:
    """The pieces of text and the names between them; None for a template that does anything else.

    A name that the sandbox itself gives a meaning (`range`, `dict`, …) is not plain.
    """
    kept = _PARSED.get("", text)
    if kept is None:
        kept = (_parse(text, SANDBOX),)
        _PARSED.put("", text, kept, len(text))
    return kept[0]


def _parse(text: str, environment: Environment) -> Parts | None:
    try:
        body = environment.parse(text).body
    except (TemplateSyntaxError, RecursionError, ValueError):
        return None
    parts: list[str | nodes.Name] = []
    for node in body:
        if not isinstance(node, nodes.Output):
            return None
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                parts.append(part.data)
            elif isinstance(part, nodes.Name) and part.name not in environment.globals:
                parts.append(part)
            else:
                return None
    return tuple(parts)


def fill(parts: Parts, context: Mapping[str, Any], mark: str = "") -> str:
    """What Jinja would render; a name that the context lacks is nothing.

    Args:
        parts: the template.
        context: its values, by name.
        mark: is written before and behind each value; see `MarkedText`.

    Raises:
        TemplateError: the text cannot be stored.
        SizeLimitError: it would be too long.
    """
    return joined(
        part if isinstance(part, str) else f"{mark}{context.get(part.name, '')}{mark}"
        for part in parts
    )
