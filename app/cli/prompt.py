"""`statewright prompt`: say something to an agent."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.client import open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.output import Format, FormatOption, say, say_document

_WAITING = ("action_turn", "client_tool_turn")  # states in which somebody must act first
_SECONDS = 630.0  # the service waits for as long as it is set to, ten minutes at most


def prompt(
    agent: Annotated[str, typer.Argument(help="Name of the agent.")],
    text: Annotated[str, typer.Argument(help="What to say; -: standard input.")],
    *,
    value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="For a variable of the agent. May be given more than once."
        ),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Launch a session of an agent and print its answer; -o yaml names the session too.

    Of an agent with an output schema, the output is printed, as JSON.
    """
    with one_line_errors():
        if text == "-":
            text = sys.stdin.read()
        body = {"prompt": text, "values": _values(value or [])}
        with open_client() as client:
            data = client.ask("prompt", agent, json=body, seconds=_SECONDS)["data"]
        if output in (Format.YAML, Format.JSON):
            say_document(data, output)
        else:
            answer = json.dumps(data["output"]) if "output" in data else data["response"]
            if answer or output is Format.NAME:
                say(data["session_id"] if output is Format.NAME else answer)
            if data["status"] in _WAITING:
                say(
                    f"Session {data['session_id']} waits: statewright get actions shows for what.",
                    err=True,
                )
            if data["cut"]:
                say(
                    "The answer is cut: it, or a part of it, ended at the limit of its length.",
                    err=True,
                )


def _values(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise CommandError(f"--value: {wrong[0]!r} is not NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)
