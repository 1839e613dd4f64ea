"""Documents in as many requests as they need."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any

from app.cli.failures import CommandError
from app.cli.manifests.sources import Source
from app.manifests.model.selector import parse_selector
from app.manifests.text.limits import MAX_BYTES, MAX_DOCUMENTS

_BETWEEN = 2  # bytes between two documents of a list


def chosen_by(selector: str | None, sources: Sequence[Source]) -> list[Source]:
    """The documents whose labels a selector chooses; without one, all.

    Raises:
        CommandError: there are none.
    """
    if not selector:
        return list(sources)
    requirements = parse_selector(selector)
    chosen = [
        source for source in sources if all(one.is_met(source.labels) for one in requirements)
    ]
    if not chosen:
        raise CommandError(f"No manifest has labels such as {selector}.")
    return chosen


def in_batches(sources: Sequence[Source]) -> list[list[Source]]:
    """The documents in their order, if one request takes them; else what is named comes first.

    A document that is too large by itself is a batch of its own: the service says so.
    """
    batches = _split(sources)
    return batches if len(batches) == 1 else _split(_named_first(sources))


def _named_first(sources: Sequence[Source]) -> list[Source]:
    """The documents, each after those whose names stand in its spec.

    Kinds alone do not say: flows name agents, and agents flows. Those that name each other come
    last, and have to fit one request.
    """
    by_name: dict[str, set[int]] = {}
    for number, source in enumerate(sources):
        by_name.setdefault(source.name, set()).add(number)
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for number, source in enumerate(sources):
        words = set(_words(source.document.get("spec")))
        named = {one for word in words for one in by_name.get(word, ())}
        sorter.add(number, *(named - {number}))
    with suppress(CycleError):
        sorter.prepare()
    order: list[int] = []
    while ready := sorter.get_ready():
        order += sorted(ready)
        sorter.done(*ready)
    circular = sorted(set(range(len(sources))) - set(order))
    return [sources[number] for number in (*order, *circular)]


def _words(value: Any) -> Iterator[str]:
    """Each text in a value, and what is before a slash in it: a server's tool is SERVER/TOOL."""
    if isinstance(value, str):
        yield value
        yield value.partition("/")[0]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)


def _split(sources: Sequence[Source]) -> list[list[Source]]:
    batches: list[list[Source]] = [[]]
    size = 0
    for source in sources:
        added = len(json.dumps(source.document, ensure_ascii=False).encode()) + _BETWEEN
        if batches[-1] and (size + added > MAX_BYTES or len(batches[-1]) == MAX_DOCUMENTS):
            batches.append([])
            size = 0
        batches[-1].append(source)
        size += added
    return batches
