"""`statewright retry`: let turns that failed go on, of one session or of many."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.get import AgentOption, FailedOption, FlowOption, session_filters
from app.cli.manifests.targets import target
from app.cli.printing.output import confirm, resource_name, say

_THEIR_OWN = (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


def retry(
    kind: Annotated[str, typer.Argument(help="session or sessions; or session/NAME.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of sessions, as `get sessions` shows them.")
    ] = None,
    *,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Only if this step, such as /1, is one that has to be done again;"
            " `logs session NAME` names steps.",
        ),
    ] = None,
    failed: FailedOption = False,
    flow: FlowOption = None,
    agent: AgentOption = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="Most sessions of --failed, oldest failures first.")
    ] = 1000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check each, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --failed.")] = False,
) -> None:
    """Let the last turn of sessions go on from the steps that failed; results are kept.

    One session by its name, several by their names, or those that failed: `retry sessions
    --failed`, narrowed by --flow and --agent. Of several, each one's outcome is a line, and the
    exit code is 1 if one of them was not retried.
    """
    with one_line_errors():
        _check(kind, names, failed=failed, narrowed=bool(flow or agent), step=step)
        with open_client() as client:
            if not failed:
                kind, first = target(kind, names[0] if names else None)
                chosen = [first, *(names or ())[1:]]
            else:
                query = session_filters(failed=True, flow=flow, agent=agent)
                chosen = _failed(client, kind, query, limit)
                if chosen and not dry_run and not yes:
                    _confirm(kind, chosen)
            if len(chosen) == 1 and not failed:
                _retry(client, kind, chosen[0], step, dry_run=dry_run)
            elif not _retry_all(client, kind, chosen, dry_run=dry_run):
                raise typer.Exit(1)


def _check(
    kind: str, names: Sequence[str] | None, *, failed: bool, narrowed: bool, step: str | None
) -> None:
    if narrowed and not failed:
        raise CommandError("--flow and --agent narrow --failed; give that too.")
    if failed and (names or "/" in kind):
        raise CommandError("Say what to retry: names, or --failed.")
    if step is not None and (failed or len(names or ()) > 1):
        raise CommandError("--step is of one session; give one name.")


def _failed(client: Client, kind: str, query: dict[str, str], limit: int) -> list[str]:
    """Names of failed sessions. Who fails again is the last of the next time."""
    answer = client.ask("get", kind, query={"i": limit, "asc": "modified", **query})
    names = [item["name"] for item in answer["data"]["data"]["items"]]
    if not names:
        say("No failed sessions found.", err=True)
    if len(names) == limit:
        say(f"The first {limit}; retry again for those that are left.", err=True)
    return names


def _confirm(kind: str, names: Sequence[str]) -> None:
    for name in names:
        say(f"{_session(name)} will be retried", err=True)
    confirm(f"Retry these {len(names)} {kind}?")


def _retry_all(client: Client, kind: str, names: Sequence[str], *, dry_run: bool) -> bool:
    """Retries sessions one after the other, and reports each; whether all of them were retried."""
    fine = True
    for name in names:
        try:
            _retry(client, kind, name, None, dry_run=dry_run)
        except ServiceError as error:
            if error.status not in _THEIR_OWN:
                raise
            say(f"{_session(name)} not retried: {error.detail}")
            fine = False
    return fine


def _retry(client: Client, kind: str, name: str, step: str | None, *, dry_run: bool) -> None:
    query = {"name": name} | ({"step": step} if step is not None else {})
    client.ask("retry", kind, query=query | ({"dry_run": "true"} if dry_run else {}))
    say(f"{_session(name)} retried{' (dry run)' if dry_run else ''}")


def _session(name: str) -> str:
    return resource_name("session", name)
