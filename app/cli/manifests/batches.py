"""Documents in as many requests as they need."""

import json
from collections.abc import Sequence

from app.cli.client import Client
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
    asked = parse_selector(selector)
    chosen = [source for source in sources if all(one.is_met(source.labels) for one in asked)]
    if not chosen:
        raise CommandError(f"No manifest has labels such as {selector}.")
    return chosen


def in_batches(client: Client, sources: Sequence[Source]) -> list[list[Source]]:
    """The documents in their order, if one request takes them; else what is named comes first.

    A document that is too large by itself is a batch of its own: the service says so.
    """
    batches = _cut(sources)
    if len(batches) == 1:
        return batches
    order = {
        spelling.lower(): kind["order"]
        for kind in client.ask("api-resources")["data"]
        for spelling in (kind["kind"], *kind["otherNames"])
    }
    return _cut(sorted(sources, key=lambda source: order.get(source.kind.lower(), 0)))


def _cut(sources: Sequence[Source]) -> list[list[Source]]:
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
