"""`statewright get actions`, `approve`, `deny`, `answer`: what turns wait for people to do."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.client import Client, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.printing.output import Format, age, say, say_document, say_rows

# Of one page.
MOST_ACTIONS = 200

_MAX_CELL = 60

ActionArgument = Annotated[str, typer.Argument(help="Id of an action, as `get actions` shows it.")]
MessageOption = Annotated[
    str | None, typer.Option("--message", "-m", help="What goes with it; a model reads why not.")
]


def show_actions(client: Client, query: dict[str, str | int | None], output: Format | None) -> None:
    """Prints the open actions of the sessions that the key may read."""
    given = {name: value for name, value in query.items() if value is not None}
    page = client.read("v1/ai/actions", query={"status": "open", **given})["data"]
    items = page["items"]
    if output in (Format.JSON, Format.YAML):
        say_document(items, output)
        return
    if not items:
        say("No actions found.", err=True)
        return
    say_rows([["ID", "KIND", "TOOL", "CONTENT", "SESSION", "AGE"], *map(_cells, items)])
    if page["next_token"]:
        say(f"The first {len(items)}; --limit shows more.", err=True)


def approve(
    action: ActionArgument,
    *,
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="In place of those that the model chose; or the new limit of a budget, as "
            """'{"max_tokens": 50000}'.""",
        ),
    ] = None,
    message: MessageOption = None,
) -> None:
    """Let a call be made; or again, where it is not known whether it was; or raise a budget."""
    changed = None if arguments is None else _json(arguments, "--arguments")
    _resolve(action, "approve", message, arguments=changed)


def deny(action: ActionArgument, *, message: MessageOption = None) -> None:
    """Refuse a call, or an answer; give up a call that may have been made; or end a turn."""
    _resolve(action, "deny", message)


def answer(
    action: ActionArgument,
    *,
    result: Annotated[
        str, typer.Option(metavar="JSON", help="The answer, or what the call gave back.")
    ],
    message: MessageOption = None,
) -> None:
    """Answer what a flow asks; or say what a call gave back, where the service cannot know."""
    _resolve(action, "answer", message, result=_json(result, "--result"))


def _resolve(action: str, decision: str, message: str | None, **more: Any) -> None:
    body = {"decision": decision, "message": message, **more}
    with one_line_errors(), open_client() as client:
        record = client.write(f"v1/ai/actions/{quote(action, safe='')}/resolve", body)["data"]
        say(f"{record['action_id']} {record['status']}")


def _json(text: str, option: str) -> Any:
    with one_line_errors():
        try:
            return json.loads(text)
        except ValueError:
            raise CommandError(f"{option} is no JSON.") from None


def _cells(item: dict[str, Any]) -> list[str]:
    """The arguments of a call, or the question that a flow asks."""
    content = item["question"] or json.dumps(item["arguments"], ensure_ascii=False)
    content = " ".join(content.split())
    if len(content) > _MAX_CELL:
        content = f"{content[: _MAX_CELL - 1]}…"
    names = [item["action_id"], item["kind"], item["tool_name"] or "-"]
    return [*names, content, item["thread_id"], age(item["created"])]
