"""`wait` and `edit`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Statewright
from tests.support.manifests import manifest, many

Ok = Callable[..., str]


def test_waiting_ends_when_the_condition_is_met(ok: Ok, statewright: Statewright) -> None:
    ok("apply", "-f", "-", stdin=ok("manifest", "agent").replace("example-agent", "awaited"))

    met = {
        "condition=deployed": ("agent/awaited",),
        "condition=revision=1": ("agent", "awaited"),
        "jsonpath={.spec.flow}=chat": ("agent/awaited",),
        "create": ("agent/awaited",),
        "delete": ("agent/nobody",),
    }
    for condition, words in met.items():
        shown = ok("wait", *words, "--for", condition, "--timeout", "0")
        assert shown.endswith(" condition met\n")
    late = statewright("wait", "agent/awaited", "--for", "delete", "--timeout", "1s")
    wrong = statewright("wait", "agent/awaited", "--for", "peace", "--timeout", "0")
    missing = statewright("wait", "agent/nobody", "--for", "condition=deployed")

    assert (late.exit_code, wrong.exit_code, missing.exit_code) == (1, 1, 1)
    assert "timed out waiting for delete of agent/awaited" in late.stderr
    assert "condition=FIELD" in wrong.stderr


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], str]:
    """The name of an editor that replaces words."""

    def make(command: str) -> str:
        script = tmp_path / "editor.sh"
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o755)
        return str(script)

    return make


def test_what_the_editor_leaves_is_applied(
    ok: Ok, statewright: Statewright, editor: Callable[[str], str]
) -> None:
    ok("apply", "-f", "-", stdin=many(manifest("Device", "edited", description="before")))

    same = statewright("edit", "device/edited", VISUAL=editor("true"))
    done = statewright("edit", "device", "edited", VISUAL=editor("sed -i s/before/after/ $1"))
    bad = statewright("edit", "device/edited", VISUAL=editor("echo '[' >> $1"))
    wrong = statewright("edit", "device/edited", VISUAL=editor("sed -i s/spec:/colour:/ $1"))
    failed = statewright("edit", "device/edited", VISUAL=editor("exit 3"))
    nothing = statewright("edit", "device/edited", VISUAL="/no/such/editor")

    assert same.stdout == "Edit cancelled, nothing changed.\n"
    assert done.stdout == "device/edited edited\n"
    assert "after" in ok("get", "device", "edited", "-o", "yaml")
    for refused in (bad, wrong, failed, nothing):
        assert refused.exit_code == 1
    kept = Path(wrong.stderr.rsplit(" ", 1)[1].strip().removesuffix("."))
    assert "colour:" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.unlink()
