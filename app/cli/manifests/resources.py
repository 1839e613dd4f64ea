"""The verbs that switch a resource: deploy, undeploy."""

from app.cli.client import open_client
from app.cli.failures import one_line_errors
from app.cli.manifests.targets import KindArgument, NameArgument, target
from app.cli.printing.output import resource_name, say


def deploy(kind: KindArgument, name: NameArgument = None) -> None:
    """Let an agent be prompted, or a user or a key be used."""
    _carry_out("deploy", kind, name)


def undeploy(kind: KindArgument, name: NameArgument = None) -> None:
    """Let it not be prompted or used any more, until it is deployed again."""
    _carry_out("undeploy", kind, name)


def _carry_out(verb: str, kind: str, name: str | None) -> None:
    with one_line_errors(), open_client() as client:
        kind, name = target(kind, name)
        answer = client.ask(verb, kind, query={"name": name})
        say(f"{resource_name(answer['thing'], name)} {verb}ed")
