"""What an apply changes: one entry for each place, as JSON Patch names places and operations."""

from collections.abc import Iterator
from typing import Any, TypedDict

MASK = "***"

# `from` is a word of Python, so the class has another syntax than others.
FieldChange = TypedDict("FieldChange", {"path": str, "op": str, "from": Any, "to": Any})


def compare(before: Any, after: Any, path: str = "") -> list[FieldChange]:
    """The differences of two JSON values, in the order of their places.

    Returns:
        `{path, op, from, to}` each; `path` is a JSON Pointer, `op` is add, remove or replace.
        Lists of another length are replaced as a whole.
    """
    return list(_changes(before, after, path))


def masked(path: str, op: str) -> FieldChange:
    """The change of a secret."""
    return {"path": path, "op": op, "from": None if op == "add" else MASK, "to": MASK}


def _changes(before: Any, after: Any, path: str) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            yield from _member(before, after, key, f"{path}/{_escaped(key)}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changes(old, new, f"{path}/{index}")
    elif not _same(before, after):
        yield {"path": path, "op": "replace", "from": before, "to": after}


def _member(
    before: dict[str, Any], after: dict[str, Any], key: str, path: str
) -> Iterator[FieldChange]:
    if key not in before:
        yield {"path": path, "op": "add", "from": None, "to": after[key]}
    elif key not in after:
        yield {"path": path, "op": "remove", "from": before[key], "to": None}
    else:
        yield from _changes(before[key], after[key], path)


def _same(before: Any, after: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return isinstance(before, bool) is isinstance(after, bool) and bool(before == after)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
