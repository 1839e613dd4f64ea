"""`statewright config`: services that are known by a name, and which of them is spoken to."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from app.cli.failures import CommandError, one_line_errors
from app.cli.printing.output import Format, say, say_document, say_rows
from app.cli.profile import Config, Profile, checked, config_file, read_config, write_config
from app.settings.client import ClientSettings

app = typer.Typer(help="Name services, and choose one of them.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of a context.")]


@app.command()
def get_contexts() -> None:
    """List the contexts; * marks the one in use."""
    with one_line_errors():
        config = _config()
        if not config.contexts:
            say("No contexts found.", err=True)
            return
        rows = [
            ["*" if name == config.current_context else "", name, profile.url]
            for name, profile in sorted(config.contexts.items())
        ]
        say_rows([["CURRENT", "NAME", "URL"], *rows])


@app.command()
def current_context() -> None:
    """Print the name of the context in use."""
    with one_line_errors():
        current = _config().current_context
        if current is None:
            raise CommandError("No context is in use.")
        say(current)


@app.command()
def use_context(name: NameArgument) -> None:
    """Speak to the service of a context from now on."""
    with one_line_errors():
        config = _config()
        config.profile(name)
        _write(config, config.contexts, name)
        say(f"Switched to context {name!r}.")


@app.command()
def set_context(
    name: NameArgument,
    *,
    url: Annotated[str | None, typer.Option(help="Address of the service.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="The key; -: standard input, which no history keeps.")
    ] = None,
) -> None:
    """Make or change a context; the first one is used at once. A new address needs its key."""
    with one_line_errors():
        config = _config()
        before = config.contexts.get(name)
        address = url or (before.url if before else None)
        if address is None:
            raise CommandError("Where is the service? Give --url.")
        key = sys.stdin.readline().strip() if api_key == "-" else api_key
        kept = before.api_key if before and before.url == address else None
        made = Profile(url=checked(address), api_key=SecretStr(key) if key else kept)
        current = config.current_context or (name if config.url is None else None)
        _write(config, config.contexts | {name: made}, current)
        say(f"Context {name!r} {'changed' if before else 'made'}.")


@app.command()
def delete_context(name: NameArgument) -> None:
    """Forget a context."""
    with one_line_errors():
        config = _config()
        config.profile(name)
        left = {other: profile for other, profile in config.contexts.items() if other != name}
        current = config.current_context if config.current_context in left else None
        _write(config, left, current)
        say(f"Context {name!r} deleted.")


@app.command()
def view() -> None:
    """Print the profile file, without its keys."""
    with one_line_errors():
        config = _config()
        named = {name: {"url": profile.url} for name, profile in config.contexts.items()}
        unnamed = {"url": config.url} if config.url else {}
        document = unnamed | {"contexts": named, "currentContext": config.current_context}
        say_document(document, Format.YAML)


def _file() -> Path:
    return config_file(ClientSettings())


def _config() -> Config:
    return read_config(_file()) or Config.model_construct(contexts={})


def _write(before: Config, contexts: Mapping[str, Profile], current: str | None) -> None:
    write_config(_file(), contexts, current, before)
