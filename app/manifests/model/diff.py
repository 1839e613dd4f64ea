"""What an apply changes: one entry for each place, as JSON Patch names places and operations.

It is for people, and bounded: the journal keeps it, and where some bytes of a large text are other
ones, the text is in it twice.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, TypedDict

import orjson

from app.kit.concurrency.off_loop import off_loop
from app.sizes.limit import is_long

MASK = "***"

# Of the changes of one resource: how many are shown, and bytes of all that they were and are.
MAX_CHANGES = 500
MAX_BYTES = 100_000
MAX_BYTES_OF_ALL = 1_000_000  # of all resources of one apply
# Characters that are shown of a longer text, and of those before what is different.
_MAX_TEXT = 10_000
_BEFORE = 100

# `from` is a word of Python, so the class has another syntax than others.
FieldChange = TypedDict("FieldChange", {"path": str, "op": str, "from": Any, "to": Any})


def compare(before: Any, after: Any, path: str = "") -> list[FieldChange]:
    """The differences of two JSON values, in the order of their places.

    Returns:
        `{path, op, from, to}` each; `path` is a JSON Pointer, `op` is add, remove or replace.
        Lists of another length are replaced as a whole. Of long values a part is shown; if there
        are more changes than are shown, the last has the op `more`, and `to` says how many.
    """
    found, left = list[FieldChange](), MAX_BYTES
    changes = _changes(before, after, path)
    for change in changes:
        shown = _shorten(change, left)
        left -= _size(shown["from"]) + _size(shown["to"])
        found.append(shown)
        if len(found) == MAX_CHANGES or left <= 0:
            break
    if more := sum(1 for _ in changes):
        found.append({"path": "", "op": "more", "from": None, "to": f"{more:,} more changes"})
    return found


async def compared(before: Any, after: Any) -> list[FieldChange]:
    """The same, beside the event loop where the values are large."""
    return await off_loop(lambda: compare(before, after), heavy=is_long([before, after]))


def cut(
    diffs: Sequence[list[FieldChange]], most: int = MAX_BYTES_OF_ALL
) -> list[list[FieldChange]]:
    """The differences of several resources, of which no more bytes are shown together.

    What is left out of one is counted by an entry with the op `more` at its end.
    """
    shown, left = list[list[FieldChange]](), most
    for diff in diffs:
        ends = accumulate(_size(change) for change in diff)
        fitting = sum(1 for end in ends if end <= left)
        shown.append(diff[:fitting])
        if fitting < len(diff):
            beyond = [change for change in diff[fitting:] if change["op"] != "more"]
            of_all = f"{len(beyond):,} more changes, beyond the {most:,} bytes of all documents"
            shown[-1].append({"path": "", "op": "more", "from": None, "to": of_all})
            shown[-1] += [change for change in diff[fitting:] if change["op"] == "more"]
        left -= sum(_size(change) for change in diff[:fitting])
    return shown


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


def _shorten(change: FieldChange, left: int) -> FieldChange:
    """A change with as much of its values as is shown, where so many bytes are left for them."""
    before, after = change["from"], change["to"]
    start = 0
    if isinstance(before, str) and isinstance(after, str):
        start = max(_equal_chars(before, after) - _BEFORE, 0)
    return {**change, "from": _part(before, start, left), "to": _part(after, start, left)}


def _part(value: Any, start: int, left: int) -> Any:
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        end = start + _MAX_TEXT
        head = f"[{start:,} characters before] …" if start else ""
        tail = f"… [{len(value) - end:,} more characters]" if len(value) > end else ""
        return f"{head}{value[start:end]}{tail}"
    if isinstance(value, dict | list) and (size := _size(value)) > left:
        return f"[{size:,} bytes of JSON]"
    return value


def _equal_chars(one: str, other: str) -> int:
    """How many characters two texts begin with alike; found by halves, as texts may be long."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _size(value: Any) -> int:
    return len(orjson.dumps(value, default=str))


def _same(before: Any, after: Any) -> bool:
    """Whether two values are equal as JSON: true is not 1."""
    return isinstance(before, bool) is isinstance(after, bool) and bool(before == after)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
