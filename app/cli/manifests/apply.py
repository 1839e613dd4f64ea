"""`statewright apply` and `statewright diff`."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.patch import changes_text
from app.cli.manifests.prune import delete_surplus, find_surplus
from app.cli.manifests.sources import FilesOption, Source, placed, read_sources
from app.cli.output import Format, FormatOption, resource_name, say, say_document

_DONE = {"created": "created", "updated": "configured", "unchanged": "unchanged"}
_DIFFERENT = 1
_FAILED = 2


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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --prune.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Create or change what manifests declare: all of it, or nothing."""
    with one_line_errors():
        if prune != bool(kind):
            raise CommandError("--prune needs the kinds that it may delete, such as --kind Agent.")
        sources = read_sources(filename)
        with open_client() as client:
            surplus = []
            if kind:
                surplus = find_surplus(client, kind, _sent(client, sources, dry_run=True))
                if not dry_run and not yes:
                    _confirm(surplus)
            _report(_sent(client, sources, dry_run=dry_run), output, dry_run=dry_run)
            delete_surplus(client, surplus, dry_run=dry_run)


def diff(*, filename: FilesOption) -> None:
    """Show what an apply would change. Exit code 0: nothing; 1: something; above 1: it failed."""
    with one_line_errors(_FAILED):
        sources = read_sources(filename)
        with open_client() as client:
            items = _sent(client, sources, dry_run=True)
        changed = [item for item in items if item["diff"]]
        for item in changed:
            say(changes_text(_named(item), item["diff"]))
    if changed:
        raise typer.Exit(_DIFFERENT)


def _sent(client: Client, sources: Sequence[Source], *, dry_run: bool) -> list[dict[str, Any]]:
    """What the service did, or would do, with each document."""
    documents = [source.document for source in sources]
    query = {"dry_run": "true"} if dry_run else None
    try:
        data = client.ask("apply", query=query, json=documents)["data"]
    except ServiceError as error:
        raise placed(error, sources) from None
    items: list[dict[str, Any]] = data.get("items", [data])
    return items


def _report(items: Sequence[dict[str, Any]], output: Format, *, dry_run: bool) -> None:
    if output in (Format.YAML, Format.JSON):
        manifests = [item["manifest"] for item in items]
        say_document(manifests if len(manifests) > 1 else manifests[0], output)
        return
    for item in items:
        done = f" {_DONE[item['operation']]}" if output is not Format.NAME else ""
        say(f"{_named(item)}{done}{' (dry run)' if dry_run and done else ''}")
        for warning in item.get("warnings", ()):  # an older service tells none
            place = ".".join(map(str, warning["loc"]))
            say(f"Warning: {_named(item)}: {place}: {warning['msg']}", err=True)
        value = item["manifest"].get("status", {}).get("value")
        if value and output is not Format.NAME:
            say(f"  {value}  (shown this once)")


def _confirm(surplus: Sequence[tuple[str, str]]) -> None:
    if not surplus:
        return
    for kind, name in surplus:
        say(f"{resource_name(kind, name)} will be deleted", err=True)
    if not typer.confirm("Apply, and delete these?", err=True):
        raise CommandError("Nothing was changed.")


def _named(item: dict[str, Any]) -> str:
    manifest = item["manifest"]
    return resource_name(manifest["kind"], manifest["metadata"]["name"])
