"""The commands about the service itself: what it takes, whether it is there, who is asking."""

from importlib.metadata import version as package_version
from typing import Annotated, Any

import typer

from app.cli.client import open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.printing.output import Format, FormatOption, say_document, say_rows

_VERSION_SECONDS = 3.0

KindArgument = Annotated[str, typer.Argument(help="A kind in any case, singular or plural.")]


def manifest(kind: KindArgument, *, output: FormatOption = Format.YAML) -> None:
    """Print an example manifest of a kind; it can be applied as it is."""
    with one_line_errors(), open_client() as client:
        say_document(client.ask("example-manifest", kind)["data"], output)


def schema(kind: KindArgument, *, output: FormatOption = Format.JSON) -> None:
    """Print the JSON Schema of a kind's manifests."""
    with one_line_errors(), open_client() as client:
        say_document(client.ask("json-schema", kind)["data"], output)


def status(*, output: FormatOption = Format.TABLE) -> None:
    """Show whether the parts of the service are there."""
    with one_line_errors(), open_client() as client:
        _show(client.ask("status")["data"], output)


def whoami(*, output: FormatOption = Format.TABLE) -> None:
    """Show the org, the user and the key that the commands act for."""
    with one_line_errors(), open_client() as client:
        _show(client.ask("whoami")["data"], output)


def version(
    *,
    client_only: Annotated[bool, typer.Option("--client", help="Do not ask the service.")] = False,
) -> None:
    """Print the version of this command and, if it can be reached, of the service."""
    rows = [["client", package_version("statewright")]]
    if not client_only:
        try:
            with open_client(seconds=_VERSION_SECONDS) as client:
                rows.append(["server", client.ask("version")["data"]["version"]])
        except CommandError as error:
            rows.append(["server", f"unknown: {str(error).splitlines()[0]}"])
    with one_line_errors():
        say_rows(rows)


def _show(data: dict[str, Any], output: Format) -> None:
    if output in (Format.YAML, Format.JSON):
        say_document(data, output)
        return
    say_rows([[part, _in_words(value)] for part, value in data.items()])


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(_in_words(item) for item in value.values())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
