"""One system for the tests of this folder; each test finds it whole."""

import sys
from collections.abc import AsyncIterator

import pytest

from tests.faults.load import Client
from tests.faults.system import System, running_system


@pytest.fixture(scope="package")
async def shared_system() -> AsyncIterator[System]:
    async with running_system() as system:
        yield system


@pytest.fixture
async def system(shared_system: System) -> AsyncIterator[System]:
    """All parts run; what they log is shown if the test fails."""
    await shared_system.heal()
    yield shared_system
    sys.stdout.write(shared_system.logs())


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    """A client that tries again, at the other API, until it is answered."""
    async with Client.of(system) as client:
        yield client
