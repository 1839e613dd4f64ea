"""`statewright logs`: what happened with a resource, and what happens from now on."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.client import Client, open_client
from app.cli.failures import one_line_errors
from app.cli.manifests.targets import KindArgument, NameArgument, target
from app.cli.printing.output import Format, FormatOption, say_document, say_rows

_PAUSE_SECONDS = 2.0
_MOST = 1000  # entries that the service tells


def logs(
    kind: KindArgument,
    name: NameArgument = None,
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on showing what happens, until Ctrl-C.")
    ] = False,
    tail: Annotated[int, typer.Option(min=1, max=1000, help="Most entries.")] = 100,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show what happened with a resource: its journal; of agents and sessions, their events too."""
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        everything = _entries(client, kind, name)
        items = everything[-tail:]
        if output in (Format.YAML, Format.JSON):
            say_document(items, output)
        else:
            _show(items)
        if follow:
            _follow(client, kind, name, everything)


def _follow(client: Client, kind: str, name: str, shown: Sequence[dict[str, Any]]) -> None:
    keys = {_key(item) for item in shown}
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            items = _entries(client, kind, name)
            _show([item for item in items if _key(item) not in keys])
            keys = {_key(item) for item in items}
    except KeyboardInterrupt:
        return


def _key(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, item.values()))


def _entries(client: Client, kind: str, name: str) -> list[dict[str, Any]]:
    """All that the service tells."""
    data = client.ask("logs", kind, query={"name": name, "i": _MOST})["data"]
    items: list[dict[str, Any]] = data["data"]["items"]
    return items


def _show(items: Sequence[dict[str, Any]]) -> None:
    if items:
        say_rows([_row(item) for item in items])


def _row(item: dict[str, Any]) -> list[str]:
    text = " ".join(str(item["text"]).split())
    who = str(item.get("by") or "-")
    return [str(item["time"]), str(item["type"]), str(item.get("status") or "-"), who, text]
