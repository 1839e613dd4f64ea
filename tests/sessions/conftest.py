"""The API and a worker in this process, on the test's own database."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.settings import Settings
from app.worker import serving
from tests.support.http_server import HttpServer
from tests.support.shop import connect


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    """A worker that serves while the test runs."""
    async with serving(settings):
        yield


@pytest.fixture
async def shop(client: httpx.AsyncClient) -> AsyncIterator[HttpServer]:
    """A shop that tools reach, and its connection; `settings` must let it be reached."""
    async with HttpServer() as server:
        await connect(client, server)
        yield server
