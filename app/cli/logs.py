"""`statewright logs`: what happened with a resource, and what happens from now on."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from app.cli.client import Client, open_client
from app.cli.failures import one_line_errors
from app.cli.output import Format, FormatOption, say_document, say_rows
from app.cli.resources import KindArgument, NameArgument, target

_PAUSE_SECONDS = 2.0
_READING = ("journal", "logs")  # the entry that each look at the logs leaves


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
        items = _entries(client, kind, name, tail)
        if output in (Format.YAML, Format.JSON):
            say_document(items, output)
        else:
            _show(items)
        if follow:
            _follow(client, kind, name, items)


def _follow(client: Client, kind: str, name: str, items: list[dict[str, Any]]) -> None:
    try:
        while True:
            time.sleep(_PAUSE_SECONDS)
            now = _entries(client, kind, name, 1000)
            _show([item for item in now if item not in items])
            items = now
    except KeyboardInterrupt:
        return


def _entries(client: Client, kind: str, name: str, most: int) -> list[dict[str, Any]]:
    data = client.ask("logs", kind, query={"name": name, "i": most})["data"]
    items: list[dict[str, Any]] = data["data"]["items"]
    return [item for item in items if (item["type"], item["text"]) != _READING]


def _show(items: Sequence[dict[str, Any]]) -> None:
    if items:
        say_rows([_row(item) for item in items])


def _row(item: dict[str, Any]) -> list[str]:
    text = " ".join(str(item["text"]).split())
    who = str(item.get("by") or "-")
    return [str(item["time"]), str(item["type"]), str(item.get("status") or "-"), who, text]
