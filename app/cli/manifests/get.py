"""`statewright get`: lists of resources, of usage and of actions."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.actions import MOST_ACTIONS, show_actions
from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.targets import (
    KindsArgument,
    Listing,
    NamesArgument,
    SelectorOption,
    read_list,
    targets,
)
from app.cli.printing.formats import Output, OutputOption
from app.cli.printing.output import Format, resource_name, say, say_rows, say_table
from app.cli.usage import MOST_SUMS, show_usage

FailedOption = Annotated[
    bool, typer.Option("--failed", help="Sessions whose last turn failed and can be retried.")
]
FlowOption = Annotated[str | None, typer.Option("--flow", help="Sessions of this flow.")]
AgentOption = Annotated[
    str | None, typer.Option("--agent", help="Sessions of this agent, by name or id.")
]
ByOption = Annotated[str, typer.Option("--by", help="Usage: sum by day, agent, user or provider.")]
FromOption = Annotated[
    str | None, typer.Option("--from", help="Usage: from this moment on, as 2026-01-31T00:00Z.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="Usage: before this moment.")]

_PAUSE_SECONDS = 2.0


def session_filters(*, failed: bool, flow: str | None, agent: str | None) -> dict[str, str]:
    """What narrows a list of sessions, as the parameters of `get`."""
    given = {"failed": "true" if failed else None, "flow": flow, "agent": agent}
    return {name: value for name, value in given.items() if value}


def get(
    kinds: KindsArgument,
    names: NamesArgument = None,
    *,
    selector: SelectorOption = None,
    output: OutputOption = "table",
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing what changes, until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most resources of a kind. [default: all]")
    ] = None,
    sort_by: Annotated[str | None, typer.Option(help="Column to sort by.")] = None,
    descending: Annotated[bool, typer.Option("--desc", help="The largest first.")] = False,
    failed: FailedOption = False,
    flow: FlowOption = None,
    agent: AgentOption = None,
    by: ByOption = "day",
    from_: FromOption = None,
    to: ToOption = None,
) -> None:
    """List resources: tables, names, manifests, or what you pick out of manifests.

    `get agents,flows`; `get agent one two`; `get agent/one flow/two`; `get datasets -l env=prod`;
    `get agents -o jsonpath='{.items[*].metadata.name}'`;
    `get agents -o custom-columns=NAME:.metadata.name,FLOW:.spec.flow`.

    `get usage` sums what models took, and cost; `get actions` lists what waits for people.
    """
    with one_line_errors(), open_client() as client:
        shape = Output.parse(output)
        resources = targets(kinds, names)
        kind, name = resources[0]
        if kind.lower() == "usage":
            span = {"by": by, "from": from_, "to": to, "agent": agent}
            show_usage(client, span | {"limit": min(limit or 100, MOST_SUMS)}, shape.format)
            return
        if kind.lower() in ("action", "actions"):
            most = min(limit or 100, MOST_ACTIONS)
            show_actions(client, {"session": name, "agent": agent, "limit": most}, shape.format)
            return
        query: dict[str, str | int] = dict(session_filters(failed=failed, flow=flow, agent=agent))
        if selector:
            query["selector"] = selector
        if sort_by:
            query["desc" if descending else "asc"] = sort_by
        single = len(resources) == 1 and name is not None
        lists, missing = _read(client, resources, query, limit, manifests=shape.needs_manifests)
        _show(lists, shape, single=single)
        if missing and not watch:
            raise CommandError("\n".join(error.detail for error in missing))
        if watch:
            _watch(client, resources, query, lists, shape)


def _read(
    client: Client,
    resources: Sequence[tuple[str, str | None]],
    query: dict[str, str | int],
    limit: int | None,
    *,
    manifests: bool,
) -> tuple[list[Listing], list[ServiceError]]:
    """A list of each kind, and the errors of names that are not there.

    Raises:
        ServiceError: nothing of what is wanted is there.
    """
    lists: dict[str, Listing] = {}
    missing: list[ServiceError] = []
    for kind, name in resources:
        named = query | ({"name": name} if name else {})
        try:
            found = read_list(client, kind, named, limit=limit, manifests=manifests)
        except ServiceError as error:
            if name is None or len(resources) == 1 or error.status != 404:  # noqa: PLR2004 - HTTP's
                raise
            missing.append(error)
            continue
        known = lists.setdefault(found.kind, found)
        if known is not found:
            known.items += found.items
            known.manifests += found.manifests
    return list(lists.values()), missing


def _show(lists: Sequence[Listing], shape: Output, *, single: bool) -> None:
    if shape.needs_manifests:
        found = [manifest for listing in lists for manifest in listing.manifests]
        shape.say(found[0] if single and found else found)
    elif shape.format is Format.NAME:
        for listing in lists:
            for item in listing.items:
                say(resource_name(listing.kind, item["name"]))
    else:
        _say_tables(lists, wide=shape.format is Format.WIDE)
    for listing in lists:
        if listing.is_cut:
            say(f"The first {len(listing.items)} of {listing.kind}; --limit shows more.", err=True)


def _say_tables(lists: Sequence[Listing], *, wide: bool) -> None:
    """A table of each kind; where there are several, names are as they can be typed again."""
    shown = [listing for listing in lists if listing.items]
    for number, listing in enumerate(shown):
        if number:
            say("")
        items = listing.items
        if len(lists) > 1:
            items = [item | {"name": resource_name(listing.kind, item["name"])} for item in items]
        say_table(listing.titles, items, wide=wide)
    if not shown:
        say(f"No {' or '.join(listing.kind for listing in lists)} found.", err=True)


def _watch(
    client: Client,
    resources: Sequence[tuple[str, str | None]],
    query: dict[str, str | int],
    lists: Sequence[Listing],
    shape: Output,
) -> None:
    """Shows what is new or other than before, as long as it takes."""
    before = _by_name(lists)
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            now, _ = _read(client, resources, query, None, manifests=shape.needs_manifests)
            known = before
            before = _by_name(now)
            for listing in now:
                keys = [(listing.kind, item["name"]) for item in listing.items]
                are_new = [known.get(key) != before[key] for key in keys]
                _say_new(listing, are_new, shape)
            for kind, name in known.keys() - before.keys():
                say(f"{resource_name(kind, name)} deleted", err=True)
    except KeyboardInterrupt:
        return


def _say_new(listing: Listing, are_new: Sequence[bool], shape: Output) -> None:
    items = [item for item, new in zip(listing.items, are_new, strict=True) if new]
    if not items:
        return
    if shape.needs_manifests:
        shape.say([one for one, new in zip(listing.manifests, are_new, strict=True) if new])
    elif shape.format is Format.NAME:
        say_rows([[resource_name(listing.kind, item["name"])] for item in items])
    else:
        say_table(listing.titles, items, wide=shape.format is Format.WIDE, heading=False)


def _by_name(lists: Sequence[Listing]) -> dict[tuple[str, str], Any]:
    return {(listing.kind, item["name"]): item for listing in lists for item in listing.items}
