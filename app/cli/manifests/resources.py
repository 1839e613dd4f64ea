"""The verbs on resources that are there: get, describe, delete, deploy, undeploy."""

from typing import Annotated, Any

import typer

from app.cli.actions import MOST_ACTIONS, show_actions
from app.cli.client import Client, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.manifests.prune import delete_all
from app.cli.manifests.sources import FilesOption, read_sources
from app.cli.output import (
    Format,
    FormatOption,
    resource_name,
    say,
    say_document,
    say_rows,
    say_table,
)

KindArgument = Annotated[
    str, typer.Argument(help="A kind in any case, singular or plural; or KIND/NAME.")
]
NameArgument = Annotated[str | None, typer.Argument(help="Name of the resource.")]


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

# Of one page.
_MOST_SUMS = 200

_COUNTS = ("requests", "input_tokens", "cached_tokens", "output_tokens")


def selector(*, failed: bool, flow: str | None, agent: str | None) -> dict[str, str]:
    """What narrows a list of sessions, as the parameters of `get`."""
    given = {"failed": "true" if failed else None, "flow": flow, "agent": agent}
    return {name: value for name, value in given.items() if value}


def target(kind: str, name: str | None) -> tuple[str, str]:
    """Kind and name, given as two words or as KIND/NAME.

    Raises:
        CommandError: there is no name.
    """
    kind, name = split(kind, name)
    if not name:
        raise CommandError(f"Which {kind}? Give its name.")
    return kind, name


def split(kind: str, name: str | None) -> tuple[str, str | None]:
    """KIND/NAME in two; two words as they are."""
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    return kind, name


def get(
    kind: KindArgument,
    name: NameArgument = None,
    *,
    output: FormatOption = Format.TABLE,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most resources.")] = 100,
    sort_by: Annotated[str | None, typer.Option(help="Column to sort by.")] = None,
    descending: Annotated[bool, typer.Option("--desc", help="The largest first.")] = False,
    failed: FailedOption = False,
    flow: FlowOption = None,
    agent: AgentOption = None,
    by: ByOption = "day",
    from_: FromOption = None,
    to: ToOption = None,
) -> None:
    """List resources of a kind: a table, or their manifests (-o yaml, -o json).

    `get usage` sums what models took, and cost; `get actions` lists what waits for people.
    """
    with one_line_errors(), open_client() as client:
        kind, name = split(kind, name)
        if kind.lower() == "usage":
            most = min(limit, _MOST_SUMS)
            span = {"by": by, "from": from_, "to": to, "agent": agent, "limit": most}
            _show_usage(client, span, output)
            return
        if kind.lower() in ("action", "actions"):
            most = min(limit, MOST_ACTIONS)
            show_actions(client, {"session": name, "agent": agent, "limit": most}, output)
            return
        query: dict[str, str | int] = {"i": limit}
        if name:
            query["name"] = name
        if sort_by:
            query["desc" if descending else "asc"] = sort_by
        query |= selector(failed=failed, flow=flow, agent=agent)
        data = client.ask("get", kind, query=query)["data"]
        _show(client, data, output, single=bool(name))
        if not name and len(data["data"]["items"]) == limit:
            say(f"The first {limit}; --limit shows more.", err=True)


def describe(
    kind: KindArgument, name: NameArgument = None, *, output: FormatOption = Format.YAML
) -> None:
    """Show a resource's manifest with its status; it can be applied as it is."""
    with one_line_errors(), open_client() as client:
        found = _manifest(client, *target(kind, name))
        if output is Format.NAME:
            say(resource_name(found["kind"], found["metadata"]["name"]))
        else:
            say_document(found, output)


def delete(
    kind: Annotated[str | None, typer.Argument(help="A kind; or KIND/NAME.")] = None,
    names: Annotated[list[str] | None, typer.Argument(help="Names of the resources.")] = None,
    *,
    filename: FilesOption = [],  # noqa: B006 - typer makes a list of its own
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
) -> None:
    """Delete resources: by name, or what manifests name (-f), users before what they use."""
    with one_line_errors():
        if bool(kind) == bool(filename):
            raise CommandError("Say what to delete: KIND NAME, or -f FILE.")
        if kind:
            resources = [target(kind, name) for name in names] if names else [target(kind, None)]
        else:
            resources = [(source.kind, source.name) for source in read_sources(filename)]
        with open_client() as client:
            missing = delete_all(
                client, resources, lambda named: say(f"{resource_name(*named)} deleted")
            )
        if missing and not ignore_not_found:
            raise CommandError("\n".join(error.detail for error in missing))


def deploy(kind: KindArgument, name: NameArgument = None) -> None:
    """Let a resource be prompted."""
    _carry_out("deploy", kind, name)


def undeploy(kind: KindArgument, name: NameArgument = None) -> None:
    """Let a resource not be prompted any more."""
    _carry_out("undeploy", kind, name)


def _carry_out(verb: str, kind: str, name: str | None) -> None:
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        answer = client.ask(verb, kind, query={"name": name})
        say(f"{resource_name(answer['thing'], name)} {verb}ed")


def _show(client: Client, data: dict[str, Any], output: Format, *, single: bool) -> None:
    """A `get` answer; manifests are asked for one by one, because tables do not hold them."""
    kind, items = data["kind"], data["data"]["items"]
    if output in (Format.TABLE, Format.WIDE):
        if not items:
            say(f"No {kind} found.", err=True)
            return
        say_table(data["data"]["titles"], items, wide=output is Format.WIDE)
    elif output is Format.NAME:
        for item in items:
            say(resource_name(kind, item["name"]))
    else:
        manifests = [_manifest(client, kind, item["name"]) for item in items]
        say_document(manifests[0] if single else manifests, output)


def _manifest(client: Client, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.ask("describe", kind, query={"name": name})["data"]
    return found


def _show_usage(client: Client, query: dict[str, str | int | None], output: Format) -> None:
    """Prints what requests to models took, and cost."""
    given = {name: value for name, value in query.items() if value is not None}
    report = client.read("v1/ai/usage", query=given)["data"]
    items = report["items"]
    if output in (Format.JSON, Format.YAML):
        say_document(items, output)
        return
    if not items:
        say("No usage found.", err=True)
        return
    heading = [str(query["by"]).upper(), "REQUESTS", "INPUT", "CACHED", "OUTPUT", "COST"]
    say_rows([heading, *map(_cells, items)])
    if report["next_token"]:
        say(f"The first {len(items)}; --limit shows more.", err=True)


def _cells(item: dict[str, Any]) -> list[str]:
    cost = ", ".join(f"{amount} {currency}" for currency, amount in sorted(item["cost"].items()))
    return [item["name"] or item["key"] or "-", *(str(item[c]) for c in _COUNTS), cost or "-"]
