"""`statewright apply` and `statewright diff`."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.batches import chosen_by, in_batches
from app.cli.manifests.patch import changes_text
from app.cli.manifests.sources import FilesOption, Source, placed, read_sources
from app.cli.manifests.targets import SelectorOption
from app.cli.printing.output import Format, FormatOption, confirm, resource_name, say, say_document

_DONE = {"created": "created", "updated": "configured", "unchanged": "unchanged"}
_DIFFERENT = 1
_FAILED = 2
_DRY = {"dry_run": "true"}


def apply(
    *,
    filename: FilesOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the service check all, and change nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is not in the manifests; needs --kind.")
    ] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="What --prune may delete. May be given more than once."),
    ] = None,
    selector: SelectorOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --prune.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Create or change what manifests declare: all of it, or nothing.

    More than fits one request (200 documents, 256 KB) goes out in several, what is named before
    what names it: each request is all or nothing. -l leaves out other documents, as --prune does.
    """
    with one_line_errors():
        if prune != bool(kind):
            raise CommandError("--prune needs the kinds that it may delete, such as --kind Agent.")
        sources = chosen_by(selector, read_sources(filename))
        with open_client() as client:
            batches = in_batches(sources)
            if prune and len(batches) > 1:
                raise CommandError("--prune needs all manifests in one request; these are more.")
            query: dict[str, Any] = {"prune": kind} if kind else {}
            query |= {"selector": selector} if selector and kind else {}
            if prune and not dry_run and not yes:
                _confirm(_send(client, "apply", batches[0], query | _DRY)[1])
            query |= _DRY if dry_run else {}
            for batch in batches:
                items, pruned = _send(client, "apply", batch, query)
                _report(items, output, dry_run=dry_run)
                _report_pruned(pruned, dry_run=dry_run)


def diff(*, filename: FilesOption, selector: SelectorOption = None) -> None:
    """Show what an apply would change; a key that may only read will do.

    Exit code 0: nothing; 1: something; above 1: it failed.
    """
    with one_line_errors(_FAILED):
        sources = chosen_by(selector, read_sources(filename))
        changed = False
        with open_client() as client:
            for batch in in_batches(sources):
                for item in _send(client, "diff", batch, {})[0]:
                    if item["diff"]:
                        changed = True
                        say(changes_text(_title(item), item["diff"]))
    if changed:
        raise typer.Exit(_DIFFERENT)


def _send(
    client: Client, verb: str, sources: Sequence[Source], query: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """What the service did, or would do, with each document; and what it pruned."""
    documents = [source.document for source in sources]
    try:
        data = client.ask(verb, query=query, json=documents)["data"]
    except ServiceError as error:
        raise placed(error, sources) from None
    items: list[dict[str, Any]] = data.get("items", [data])
    return items, [(one["kind"], one["name"]) for one in data.get("pruned", ())]


def _report(items: Sequence[dict[str, Any]], output: Format, *, dry_run: bool) -> None:
    if output in (Format.YAML, Format.JSON):
        manifests = [item["manifest"] for item in items]
        say_document(manifests if len(manifests) > 1 else manifests[0], output)
        return
    for item in items:
        done = f" {_DONE[item['operation']]}" if output is not Format.NAME else ""
        say(f"{_title(item)}{done}{' (dry run)' if dry_run and done else ''}")
        for warning in item.get("warnings", ()):  # an older service tells none
            place = ".".join(map(str, warning["loc"]))
            say(f"Warning: {_title(item)}: {place}: {warning['msg']}", err=True)
        value = item["manifest"].get("status", {}).get("value")
        if value and output is not Format.NAME:
            say(f"  {value}  (shown this once)")


def _report_pruned(pruned: Sequence[tuple[str, str]], *, dry_run: bool) -> None:
    for named in pruned:
        say(f"{resource_name(*named)} pruned{' (dry run)' if dry_run else ''}")


def _confirm(surplus: Sequence[tuple[str, str]]) -> None:
    if not surplus:
        return
    for kind, name in surplus:
        say(f"{resource_name(kind, name)} will be deleted", err=True)
    confirm("Apply, and delete these?")


def _title(item: dict[str, Any]) -> str:
    manifest = item["manifest"]
    return resource_name(manifest["kind"], manifest["metadata"]["name"])
