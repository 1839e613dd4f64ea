"""Services by name: `config`, `--context`, STATEWRIGHT_CONTEXT."""

from pathlib import Path

from tests.cli.conftest import Statewright
from tests.cli.test_profile import NOWHERE, nameless
from tests.support.dev import RunningDev


def test_contexts_are_made_used_and_forgotten(
    statewright: Statewright, dev: RunningDev, tmp_path: Path
) -> None:
    def ok(*words: str, stdin: str = "") -> str:
        done = statewright(*words, stdin=stdin, STATEWRIGHT_URL=None, STATEWRIGHT_API_KEY=None)
        assert done.exit_code == 0, done.output
        return done.stdout

    url, key = dev.state["base_url"], dev.state["api_key"]
    ok("config", "set-context", "here", "--url", url, "--api-key", "-", stdin=f"{key}\n")
    ok("config", "set-context", "away", "--url", NOWHERE, "--api-key", "swk_other")
    file = tmp_path / "config" / "statewright" / "config.yaml"

    assert file.stat().st_mode & 0o777 == 0o600
    assert ok("config", "current-context") == "here\n"
    assert "dev@localhost" in ok("whoami")
    assert [line.split() for line in ok("config", "get-contexts").splitlines()] == [
        ["CURRENT", "NAME", "URL"],
        ["away", NOWHERE],
        ["*", "here", url],
    ]
    assert key not in ok("config", "view")
    ok("config", "use-context", "away")
    assert nameless(statewright, "whoami").exit_code == 1
    assert "dev@localhost" in ok("--context", "here", "whoami")
    named = nameless(statewright, "whoami", STATEWRIGHT_CONTEXT="here")
    assert named.exit_code == 0
    # A key goes to no other address than the one that it was given with.
    ok("config", "set-context", "here", "--url", NOWHERE)
    assert key not in file.read_text()
    ok("config", "delete-context", "away")
    assert nameless(statewright, "config", "current-context").exit_code == 1
    ok("config", "delete-context", "here")
    assert nameless(statewright, "config", "get-contexts").exit_code == 0


def test_what_is_no_context_is_refused(statewright: Statewright) -> None:
    for words in (
        ("--context", "nobody", "whoami"),
        ("config", "use-context", "nobody"),
        ("config", "delete-context", "nobody"),
        ("config", "set-context", "x"),
        ("config", "set-context", "x", "--url", "nowhere"),
    ):
        refused = nameless(statewright, *words)
        assert refused.exit_code == 1
        assert len(refused.stderr.splitlines()) == 1
