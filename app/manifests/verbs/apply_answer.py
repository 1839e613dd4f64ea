"""What an apply is answered with, and what the journal keeps of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.access.caller import Caller
from app.kit.concurrency.off_loop import off_loop
from app.manifests.applied import Applied
from app.manifests.journal import Entry
from app.manifests.model.diff import cut
from app.manifests.verbs.prune import Named
from app.manifests.verbs.runner import PAST, VerbAnswer, verb_answer
from app.sizes.limit import is_long


def entry_of(entry: Entry, applied: Applied, *, dry_run: bool) -> Entry:
    """The journal entry of one document; of a single one, that of the whole apply."""
    detail: dict[str, Any] = {"operation": applied.operation, "diff": applied.diff}
    if dry_run:
        detail["dryRun"] = True
    return entry.about(applied.kind, applied.name, detail)


def pruned_entry(caller: Caller, resource: Named, *, dry_run: bool) -> Entry:
    """The journal entry of a resource that was pruned."""
    detail = {"operation": "pruned"} | ({"dryRun": True} if dry_run else {})
    return Entry(caller, "delete", *resource, detail)


def applied_answer(
    entries: Sequence[Entry],
    applied: Sequence[Applied],
    *,
    pruned: Sequence[Named] | None,
    dry_run: bool,
) -> VerbAnswer:
    """The result of the one document, or the results of several in their order; what was pruned."""
    gone = {} if pruned is None else {"pruned": [{"kind": k, "name": n} for k, n in pruned]}
    items = [
        {
            "operation": one.operation,
            "manifest": one.manifest,
            "diff": one.diff,
            "warnings": one.warnings,
        }
        for one in applied
    ]
    if len(items) == 1:
        return verb_answer(entries[0], items[0] | gone)
    keyed = [item | {"key": entry.key} for item, entry in zip(items, entries, strict=True)]
    done = f"{PAST[entries[0].command]} successfully{' (dry run)' if dry_run else ''}"
    first, text = entries[0], f"{len(items)} manifests {done}"
    return VerbAnswer({"items": keyed, **gone}, text, "Manifest", first.command, first.key)


async def within_limits(applied: Sequence[Applied]) -> list[Applied]:
    """The same, with as much of all their diffs as one answer, and the journal, has of them."""
    diffs = [one.diff for one in applied]
    shown = await off_loop(lambda: cut(diffs), heavy=is_long(diffs))
    return [replace(one, diff=diff) for one, diff in zip(applied, shown, strict=True)]
