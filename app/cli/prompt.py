"""`statewright prompt`: say something to an agent."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.printing.output import Format, FormatOption, say, say_document

_WAITING = ("action_turn", "client_tool_turn")  # states in which somebody must act first
_GOALS_FAILED = "goals_failed"
_SECONDS = 630.0  # the service waits for as long as it is set to, ten minutes at most


ValueOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="For a variable of the agent. May be given more than once."
    ),
]
SessionOption = Annotated[
    str | None, typer.Option("--session", help="A session of the agent; none: a new one.")
]


def prompt(
    agent: Annotated[str, typer.Argument(help="Name of the agent.")],
    text: Annotated[str, typer.Argument(help="What to say; -: standard input.")],
    *,
    value: ValueOption = None,
    session: SessionOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Launch a session of an agent and print its answer; -o yaml names the session too.

    With --session, the text is said in a session that is there.

    Of an agent with an output schema, the output is printed, as JSON.

    Exit code 1: the turn failed, or the agent did not achieve its goals.
    """
    with one_line_errors():
        if text == "-":
            text = sys.stdin.read()
        with open_client() as client:
            data = _ask(client, agent, text, value or [], session)
        if output in (Format.YAML, Format.JSON):
            say_document(data, output)
        elif output is Format.NAME:
            say(data["session_id"])
            _say_warnings(data)
        else:
            _say_answer(data)
        if data["status"] == _GOALS_FAILED:
            raise CommandError(_unachieved(data))


def chat(
    agent: Annotated[str, typer.Argument(help="Name of the agent.")],
    *,
    value: ValueOption = None,
    session: SessionOption = None,
) -> None:
    """Talk with an agent, a line at a time, until Ctrl-D; --session goes on with a session."""
    with one_line_errors(), open_client() as client:
        try:
            for line in _lines():
                try:
                    data = _ask(client, agent, line, [] if session else value or [], session)
                except ServiceError as error:
                    if session is None:
                        raise
                    say(str(error), err=True)
                    continue
                session = data["session_id"]
                _say_answer(data)
                if data["status"] == _GOALS_FAILED:
                    say(_unachieved(data), err=True)
        except KeyboardInterrupt:
            pass
        if session:
            say(f"To go on: statewright chat {shlex.quote(agent)} --session {session}", err=True)


def _lines() -> Iterator[str]:
    """What is typed, or what standard input has; blank lines are left out."""
    if sys.stdin.isatty():
        import readline  # noqa: F401, PLC0415 - gives `input` a history and an editor
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return
        if line.strip():
            yield line


def _ask(
    client: Client, agent: str, text: str, values: Sequence[str], session: str | None
) -> dict[str, Any]:
    """The answer to a text, in a session or in a new one."""
    body = {"prompt": text, "values": _values(values)} | ({"session": session} if session else {})
    data: dict[str, Any] = client.ask("prompt", agent, json=body, seconds=_SECONDS)["data"]
    return data


def _say_answer(data: dict[str, Any]) -> None:
    answer = json.dumps(data["output"]) if "output" in data else data["response"]
    if answer:
        say(answer)
    _say_warnings(data)


def _say_warnings(data: dict[str, Any]) -> None:
    if data["status"] in _WAITING:
        say(
            f"Session {data['session_id']} waits: statewright get actions shows for what.",
            err=True,
        )
    if data["cut"]:
        say("The answer is cut: it, or a part of it, ended at the limit of its length.", err=True)


def _unachieved(data: dict[str, Any]) -> str:
    return f"The agent did not achieve its goals (session {data['session_id']})."


def _values(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise CommandError(f"--value: {wrong[0]!r} is not NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)
