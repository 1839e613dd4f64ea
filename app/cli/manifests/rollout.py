"""`statewright rollout`: revisions of flows and agents."""

from typing import Annotated

import typer

from app.cli.client import open_client
from app.cli.failures import one_line_errors
from app.cli.manifests.patch import changes_text
from app.cli.manifests.targets import KindArgument, NameArgument, target
from app.cli.printing.output import (
    Format,
    FormatOption,
    resource_name,
    say,
    say_document,
    say_table,
)

app = typer.Typer(help="See the revisions of flows and agents, and go back.", no_args_is_help=True)


@app.command()
def history(
    kind: KindArgument, name: NameArgument = None, *, output: FormatOption = Format.TABLE
) -> None:
    """List the revisions of a resource, newest first."""
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        data = client.ask("history", kind, query={"name": name})["data"]
        if output in (Format.YAML, Format.JSON):
            say_document(data["data"]["items"], output)
        else:
            say_table(data["data"]["titles"], data["data"]["items"], wide=True)


@app.command()
def undo(
    kind: KindArgument,
    name: NameArgument = None,
    *,
    to_revision: Annotated[
        int | None, typer.Option(min=1, help="Which one. [default: the one before]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
) -> None:
    """Make a resource again what it was at a revision, as its newest one."""
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        query: dict[str, str | int] = {"name": name}
        query |= {"revision": to_revision} if to_revision else {}
        query |= {"dry_run": "true"} if dry_run else {}
        answer = client.ask("undo", kind, query=query)
        named = resource_name(answer["thing"], name)
        if dry_run and answer["data"]["diff"]:
            say(changes_text(named, answer["data"]["diff"]))
        done = "rolled back" if answer["data"]["operation"] != "unchanged" else "unchanged"
        say(f"{named} {done}{' (dry run)' if dry_run else ''}")
