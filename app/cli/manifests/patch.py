"""Shows the changes of an apply as lines with `-` and `+`."""

from collections.abc import Iterator, Sequence
from typing import Any

from app.cli.printing.output import as_yaml


def changes_text(name: str, changes: Sequence[dict[str, Any]]) -> str:
    """The changes of one resource.

    Args:
        name: of the resource.
        changes: `{path, op, from, to}` each; `path` is a JSON Pointer. The op `more` stands for
            those that are not shown.
    """
    return "\n".join([f"--- {name}", f"+++ {name}", *_lines(changes)])


def _lines(changes: Sequence[dict[str, Any]]) -> Iterator[str]:
    for change in changes:
        if change["op"] == "more":
            yield f"… {change['to']}"
            continue
        yield f"@@ {change['path'] or '/'} @@"
        if change["op"] != "add":
            yield from _mark_lines("-", change["from"])
        if change["op"] != "remove":
            yield from _mark_lines("+", change["to"])


def _mark_lines(mark: str, value: Any) -> list[str]:
    return [f"{mark} {line}" for line in as_yaml(value).splitlines()]
