"""Output that cannot be written: nobody reads it, or the disk is full."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.support.dev import COMMAND, RunningDev, outer_environment

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(dev: RunningDev) -> Run:
    """Runs a command in a process of its own, with its output where the test says."""
    service = {
        "STATEWRIGHT_URL": dev.state["base_url"],
        "STATEWRIGHT_API_KEY": dev.state["api_key"],
    }

    def run(*words: str, to: int | IO[bytes]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *words],
            env=outer_environment(service),
            stdout=to,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    return run


@pytest.mark.parametrize("words", [("manifest", "agent"), ("whoami",), ("logs", "account/dev")])
@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_a_command_in_silence(
    run: Run, words: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run("deploy", "account/dev", to=subprocess.DEVNULL)  # an entry for the logs
    try:
        ended = run(*words, to=writer)
    finally:
        os.close(writer)

    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words", [("manifest", "agent"), ("get", "accounts"), ("version",), ("--help",)]
)
def test_a_full_disk_is_named_in_one_line(run: Run, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(*words, to=full)

    assert ended.returncode == 1
    assert ended.stderr == (
        b"statewright: The output cannot be written: No space left on device.\n"
    )
