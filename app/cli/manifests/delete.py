"""`statewright delete`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.deletion import Named, check_all, delete_all
from app.cli.manifests.sources import FilesOption, read_sources
from app.cli.manifests.targets import NamesArgument, SelectorOption, read_list, targets
from app.cli.printing.output import resource_name, say


def delete(
    kinds: Annotated[
        str | None, typer.Argument(metavar="[KIND[,KIND…]|KIND/NAME]", help="What to delete.")
    ] = None,
    names: NamesArgument = None,
    *,
    filename: FilesOption = [],  # noqa: B006 - typer makes a list of its own
    selector: SelectorOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All resources of the kinds.")] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the service check all, and delete nothing.")
    ] = False,
) -> None:
    """Delete resources: by name, by labels, or what manifests name; users before what they use."""
    with one_line_errors():
        if (kinds is None) == (not filename):
            raise CommandError("Say what to delete: KIND NAME, KIND -l LABELS, or -f FILE.")
        if filename and (selector is not None or everything):
            raise CommandError("-f says what to delete; leave out -l and --all.")
        with open_client() as client:
            if kinds is None:
                resources = [(one.kind, one.name) for one in read_sources(filename)]
            else:
                resources = _choose(client, kinds, names, selector, everything=everything)
            missing = (_check if dry_run else _delete)(client, resources)
        if missing and not ignore_not_found:
            raise CommandError("\n".join(error.detail for error in missing))


def _delete(client: Client, resources: Sequence[Named]) -> list[ServiceError]:
    return delete_all(client, resources, lambda named: say(f"{resource_name(*named)} deleted"))


def _check(client: Client, resources: Sequence[Named]) -> list[ServiceError]:
    return check_all(
        client,
        resources,
        lambda named: say(f"{resource_name(*named)} deleted (dry run)"),
        lambda named, error: say(f"{resource_name(*named)} only after others: {error.detail}"),
    )


def _choose(
    client: Client,
    kinds: str,
    names: Sequence[str] | None,
    selector: str | None,
    *,
    everything: bool,
) -> list[Named]:
    found: list[Named] = []
    for kind, name in targets(kinds, names):
        if name is not None:
            if selector is not None or everything:
                raise CommandError("Give names, or -l, or --all.")
            found.append((kind, name))
            continue
        if selector is None and not everything:
            raise CommandError(f"Which {kind}? Give names, -l LABELS, or --all.")
        if selector == "":
            raise CommandError("-l is empty; --all deletes all.")
        query: dict[str, str | int] = {"selector": selector} if selector else {}
        listing = read_list(client, kind, query)
        found += [(listing.kind, item["name"]) for item in listing.items]
    if not found:
        say("Nothing found.", err=True)
    return found
