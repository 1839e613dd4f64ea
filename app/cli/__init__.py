"""The `statewright` command: what it can do, and where that is.

What is slow to import is imported by the commands that need it: the others answer at once.
"""

from typing import Annotated

import typer

from app.cli import actions, completion, contexts, keys, logs, prompt, run, service
from app.cli.manifests import (
    apply,
    delete,
    describe,
    edit,
    get,
    kinds,
    resources,
    retry,
    rollout,
    wait,
)
from app.cli.profile import chosen_context

__all__ = ["app"]

app = typer.Typer(
    help="Declare AI agents, launch them, and drive their conversations as durable state machines."
    " Processes read their settings from the environment: DATABASE_URL, REDIS_URL, STATEWRIGHT_….",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def choose_context(
    context: Annotated[
        str | None, typer.Option("--context", help="Speak to the service of this context.")
    ] = None,
) -> None:
    """Notes what the commands read."""
    chosen_context.set(context)


# Processes and their database, on this machine
app.command()(run.dev)
app.command()(run.api)
app.command()(run.worker)
app.command()(run.migrate)
app.command()(run.rotate_secrets)
app.command()(run.openapi)
app.add_typer(keys.app, name="key")

# Resources, over HTTP
app.command()(apply.apply)
app.command()(apply.diff)
app.command()(get.get)
app.command()(describe.describe)
app.command()(delete.delete)
app.command()(resources.deploy)
app.command()(resources.undeploy)
app.add_typer(rollout.app, name="rollout")
app.command()(edit.edit)
app.command()(wait.wait)
app.command()(retry.retry)
app.command()(logs.logs)
app.command()(prompt.prompt)
app.command()(prompt.chat)
app.command()(actions.approve)
app.command()(actions.deny)
app.command()(actions.answer)

# The service itself, over HTTP
app.command()(kinds.api_resources)
app.command()(kinds.explain)
app.command()(service.manifest)
app.command()(service.schema)
app.command()(service.status)
app.command()(service.whoami)
app.command()(service.version)
app.add_typer(contexts.app, name="config")
app.command()(completion.completion)
