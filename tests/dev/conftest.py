"""Directories for `statewright dev`, and one of its runs that tests share."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.dev import RunningDev


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that everyone may pass: there root's PostgreSQL can live."""
    place = Path(tempfile.mkdtemp(prefix="statewright-dev-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def shared_dev(place: Path) -> Iterator[RunningDev]:
    """Two workers; a test may kill its children, not itself."""
    dev = RunningDev(place / "shared", "--workers", "2")
    try:
        yield dev.wait_until_up()
    finally:
        with suppress(ProcessLookupError):
            dev.stop()


@pytest.fixture
def devs(place: Path) -> Iterator[list[RunningDev]]:
    """Put in what the test starts: it is killed at the end if it still runs."""
    started: list[RunningDev] = []
    yield started
    for dev in started:
        dev.process.kill()
        dev.process.wait()
