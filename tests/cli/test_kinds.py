"""`api-resources`, `explain` and `completion`."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from app.cli import app
from tests.cli.conftest import Statewright
from tests.support.dev import RunningDev

Ok = Callable[..., str]


def test_kinds_are_listed_with_their_verbs(ok: Ok) -> None:
    wide = [line.split() for line in ok("api-resources", "-o", "wide").splitlines()]
    names = ok("api-resources", "-o", "name").splitlines()

    assert wide[0] == ["NAME", "KIND", "OTHER-NAMES", "VERBS"]
    verbs = {row[1]: row[3].split(",") for row in wide[1:]}
    assert {"apply", "delete", "deploy", "prompt"} <= set(verbs["Agent"])
    assert "apply" not in verbs["Session"]
    assert "delete" not in verbs["Account"]
    assert names.index("secrets") < names.index("providers")


def test_a_field_is_explained(ok: Ok) -> None:
    kind = ok("explain", "agent")
    field = ok("explain", "agents.spec.requestTemplate.messages.content").splitlines()
    variables = ok("explain", "agent.spec.variables")
    tree = ok("explain", "secret", "-r").splitlines()

    assert kind.startswith("KIND:     Agent\nVERSION:  statewright/v1\n")
    assert "  spec <object> -required-" in kind
    assert field[3].startswith("FIELD: content <[]")
    assert "  name <string> -required-" in variables
    assert "  config <object>" in tree
    assert "    expirationDate <string>" in tree
    for name in ok("api-resources", "-o", "name").splitlines():
        assert ok("explain", name, "-r")


@pytest.mark.parametrize("path", ["nothing", "agent.nothing", "agent.spec.flow.x", "agent."])
def test_what_is_not_there_is_not_explained(statewright: Statewright, path: str) -> None:
    refused = statewright("explain", path)

    assert refused.exit_code == 1
    assert "there are" in refused.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(ok: Ok, shell: str) -> None:
    assert f"complete_{shell}" in ok("completion", shell)


def test_a_shell_completes_commands_and_kinds(dev: RunningDev) -> None:
    def completed(words: str, position: int) -> list[str]:
        environment = {
            "STATEWRIGHT_URL": dev.state["base_url"],
            "STATEWRIGHT_API_KEY": dev.state["api_key"],
            "COMP_WORDS": f"statewright {words}",
            "COMP_CWORD": str(position),
            "_STATEWRIGHT_COMPLETE": "complete_bash",
        }
        done = CliRunner().invoke(app, [], prog_name="statewright", env=environment)
        return done.stdout.split()

    assert completed("descr", 1) == ["describe"]
    assert completed("get age", 2) == ["agents"]
    assert completed("get agents,fl", 2) == ["agents,flows"]


def test_a_rollout_is_undone(ok: Ok) -> None:
    agent = ok("manifest", "agent").replace("example-agent", "rolled")
    ok("apply", "-f", "-", stdin=agent)
    ok("apply", "-f", "-", stdin=agent.replace("patient", "strict"))

    tried = ok("rollout", "undo", "agent/rolled", "--dry-run")
    done = ok("rollout", "undo", "agent", "rolled")
    history = [line.split()[0] for line in ok("rollout", "history", "agent/rolled").splitlines()]

    assert "- You are a strict teacher." in tried.splitlines()
    assert "+ You are a patient teacher." in tried.splitlines()
    assert done == "agent/rolled rolled back\n"
    assert "patient" in ok("get", "agent", "rolled", "-o", "yaml")
    assert history == ["REVISION", "3", "2", "1"]
