"""The API and a worker in this process, on the test's own database."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from app.worker import serving


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    """A worker that serves while the test runs."""
    async with serving(settings):
        yield
