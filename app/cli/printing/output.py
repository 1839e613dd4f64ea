"""What commands print: tables for people, YAML, JSON and names for programs."""

import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from typing_extensions import override

from app.cli.failures import CommandError

_SIGPIPE = 141  # how a shell shows the end of a program by SIGPIPE
_CELL = 50  # characters of a cell in the short table
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ONLY_WIDE = re.compile(r"(?:^|[a-z])(?:Id|ID)$|^id$|^description$|^created$|By$")
_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
_ENOUGH = 2  # of a unit, before the next larger one is used


class Format(StrEnum):
    """How things are shown."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"
    NAME = "name"


FormatOption = Annotated[
    Format, typer.Option("-o", "--output", help="How to show it.", show_default=False)
]


def write(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Prints a text as it is.

    Raises:
        typer.Exit: nobody reads the output any more, as where `head` has its lines.
        CommandError: it cannot be written; the disk is full, for example.
    """
    try:
        typer.echo(text, nl=nl, err=err)
    except OSError as error:
        # What is left in the buffer would fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(_SIGPIPE) from None
        raise CommandError(f"The output cannot be written: {error.strerror}.") from None


def say(text: str, *, err: bool = False) -> None:
    """Prints a text of somebody else: without what would drive the terminal."""
    write(_UNPRINTABLE.sub("", text), err=err)


def confirm(question: str) -> None:
    """Asks whether to go on.

    Raises:
        CommandError: the answer is no, or nobody is there to give one.
    """
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        write("", err=True)
        raise CommandError("Nothing was changed: nobody answered. --yes goes on unasked.") from None
    if not agreed:
        raise CommandError("Nothing was changed.")


def resource_name(kind: Any, name: Any) -> str:
    """How a resource is called in what commands print, such as `agent/namer`."""
    return f"{str(kind).lower()}/{name}"


def say_document(value: Any, format_: Format) -> None:
    """Prints a value as JSON or YAML; a list as one stream or list, which can be applied."""
    if format_ is Format.JSON:
        write(json.dumps(value, indent=2))
        return
    documents = value if isinstance(value, list) else [value]
    write("---\n".join(map(as_yaml, documents)), nl=False)


def as_yaml(value: Any) -> str:
    """Readable YAML in the order of the value; texts of several lines as blocks."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.removesuffix("...\n")


def say_table(
    titles: Sequence[dict[str, str]],
    items: Sequence[dict[str, Any]],
    *,
    wide: bool,
    heading: bool = True,
) -> None:
    """Prints a table.

    Args:
        titles: `{name, type}` of each column.
        items: a value for each column.
        wide: all columns, whole; else without ids and descriptions, cut, and times as ages.
        heading: whether the titles are the first row.
    """
    shown = [title for title in titles if wide or not _ONLY_WIDE.search(title["name"])]
    shown.sort(key=lambda title: title["name"] != "name")  # first what is typed to name it
    rows = [[_heading(title["name"]) for title in shown]] if heading else []
    rows += [
        [_cell(item.get(title["name"]), title["type"], wide=wide) for title in shown]
        for item in items
    ]
    say_rows(rows)


def say_rows(rows: Sequence[Sequence[str]]) -> None:
    """Prints cells in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        say("   ".join(cells).rstrip())


def age(moment: str) -> str:
    """How long ago a moment was, in its largest unit."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return moment
    for unit, size in _UNITS:
        if seconds >= _ENOUGH * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def _heading(name: str) -> str:
    return _BETWEEN_WORDS.sub("-", name).upper()


def _cell(value: Any, type_: str, *, wide: bool) -> str:
    if value is None or value in ("", []):
        return "-"
    if type_ == "datetime" and not wide:
        return age(str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return text if wide or len(text) <= _CELL else f"{text[: _CELL - 1]}…"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read, and no aliases, which apply refuses."""

    @override
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
