"""One `statewright dev` for the tests of the command line, and a directory to use it from."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import app
from tests.support.dev import RunningDev

Statewright = Callable[..., Result]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is done with a `statewright dev`, of six processes, to make test-slow."""
    for item in items:
        if "dev" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def dev() -> Iterator[RunningDev]:
    """Its workers may reach this machine: the tests serve APIs and models there."""
    place = Path(tempfile.mkdtemp(prefix="statewright-cli-"))
    place.chmod(0o711)  # root's PostgreSQL runs as nobody
    environment = {"STATEWRIGHT_SECURITY__EGRESS_ALLOW": "127.0.0.0/8"}
    dev = RunningDev(place / "dev", environment=environment)
    try:
        yield dev.wait_until_up()
    finally:
        with suppress(ProcessLookupError):
            dev.stop()
        shutil.rmtree(place)


@pytest.fixture
def statewright(dev: RunningDev, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Statewright:
    """Runs a command in an empty directory: `statewright("get", "agents", stdin=…)`.

    Keywords in capitals change the environment; None removes a variable.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what `edit` leaves there goes with it
    service = {
        "STATEWRIGHT_URL": dev.state["base_url"],
        "STATEWRIGHT_API_KEY": dev.state["api_key"],
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def run(*words: str, stdin: str = "", **environment: str | None) -> Result:
        return CliRunner().invoke(app, words, input=stdin, env={**service, **environment})

    return run


@pytest.fixture
def ok(statewright: Statewright) -> Callable[..., str]:
    """Runs a command that must succeed, and gives what it printed."""

    def run(*words: str, stdin: str = "") -> str:
        done = statewright(*words, stdin=stdin)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run
