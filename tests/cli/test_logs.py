"""`statewright logs`, and `-f` and `get --watch` in processes of their own."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dev import COMMAND, RunningDev, interruptible, outer_environment, wait_for

Ok = Callable[..., str]

DATASET = """\
apiVersion: statewright/v1
kind: Dataset
metadata: {name: watched}
"""


@pytest.fixture(params=[("logs", "dataset/watched", "-f")])
def followed(
    request: pytest.FixtureRequest, dev: RunningDev, ok: Ok, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A command about a dataset, which writes to `followed.txt` until it is interrupted."""
    ok("apply", "-f", "-", stdin=DATASET)
    service = {
        "STATEWRIGHT_URL": dev.state["base_url"],
        "STATEWRIGHT_API_KEY": dev.state["api_key"],
        "PYTHONUNBUFFERED": "1",
    }
    with (tmp_path / "followed.txt").open("wb") as file:
        process = interruptible(
            [*COMMAND, *request.param],
            env=outer_environment(service),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_following_shows_what_happens_once_and_not_that_it_looks(
    followed: subprocess.Popen[bytes], ok: Ok, tmp_path: Path
) -> None:
    shown = tmp_path / "followed.txt"
    wait_for(lambda: "apply: created" in shown.read_text(), seconds=30, what="what there was")

    ok("describe", "dataset", "watched")
    ok("apply", "-f", "-", stdin=DATASET)
    wait_for(lambda: "unchanged" in shown.read_text(), seconds=30, what="what is new")
    ok("get", "dataset", "watched")
    ok("apply", "-f", "-", "--dry-run", stdin=DATASET)
    wait_for(lambda: "dry run" in shown.read_text(), seconds=30, what="what is newer")
    followed.send_signal(signal.SIGINT)

    assert followed.wait(timeout=10) == 0
    texts = [line.split()[4:] for line in shown.read_text().splitlines()]
    assert texts == [
        ["apply:", "created"],
        ["apply:", "unchanged"],
        ["apply", "(dry", "run):", "unchanged"],
    ]


def test_only_the_last_entries(ok: Ok) -> None:
    manifest = DATASET.replace("watched", "quiet")
    ok("apply", "-f", "-", stdin=manifest)
    ok("apply", "-f", "-", stdin=manifest)

    ok("logs", "dataset/quiet")
    [entry] = ok("logs", "dataset", "quiet", "--tail", "1").splitlines()

    assert entry.endswith("apply: unchanged")


@pytest.mark.parametrize("followed", [("get", "datasets", "--watch", "-o", "name")], indirect=True)
@pytest.mark.slow
def test_watching_shows_what_is_new_or_other_or_gone(
    followed: subprocess.Popen[bytes], ok: Ok, tmp_path: Path
) -> None:
    shown = tmp_path / "followed.txt"

    wait_for(lambda: "dataset/watched\n" in shown.read_text(), seconds=30, what="a change")
    ok("apply", "-f", "-", stdin=DATASET.replace("watched", "arrived"))
    wait_for(lambda: shown.read_text().endswith("dataset/arrived\n"), seconds=30, what="a change")
    before = shown.read_text()
    ok("apply", "-f", "-", stdin=DATASET + "spec: {properties: {a: b}}\n")
    wait_for(lambda: shown.read_text() == before + "dataset/watched\n", seconds=30, what="a change")
    ok("delete", "dataset/arrived")
    wait_for(
        lambda: shown.read_text().endswith("dataset/arrived deleted\n"), seconds=30, what="a change"
    )

    followed.send_signal(signal.SIGINT)
    assert followed.wait(timeout=10) == 0
