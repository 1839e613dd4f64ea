"""A worker that reaches servers of the test, beside the API of the same settings."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from app.worker import serving
from tests.support.http_server import HttpServer
from tests.support.openai_server import OpenAiServer


@pytest.fixture
def prompt_wait() -> float:
    """Seconds that a prompt waits for its answer."""
    return 20.0


@pytest.fixture
def settings(settings: Settings, prompt_wait: float) -> Settings:
    """This machine may be reached."""
    security = settings.security.model_copy(update={"egress_allow": ["127.0.0.0/8"]})
    session = settings.session.model_copy(update={"prompt_wait_seconds": prompt_wait})
    return settings.model_copy(update={"security": security, "session": session})


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    """A worker that serves while the test runs."""
    async with serving(settings):
        yield


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    """What Providers lead to."""
    async with OpenAiServer() as server:
        yield server


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    """What ApiConnections lead to."""
    async with HttpServer() as server:
        yield server
