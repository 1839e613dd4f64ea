"""Model providers, warmed up, and one whose answers the test scripts."""

from collections.abc import AsyncIterator
from importlib import import_module

import pytest

from app.invokers.chat_models import providers
from app.settings import LlmSettings, Settings
from tests.support.openai_server import OpenAiServer


def load_provider(name: str) -> None:
    """Imports what the provider needs: seconds, which are not those that the tests are about."""
    import_module("app.invokers.chat_models.connection")
    import_module(f"{providers.__name__}.{name}")


@pytest.fixture
async def model() -> AsyncIterator[OpenAiServer]:
    """The server of a provider; its answers are scripted."""
    load_provider("openai")
    async with OpenAiServer() as server:
        yield server


def use_model(settings: Settings, model: OpenAiServer) -> None:
    """Makes the server, which is on this machine, the settings' provider."""
    settings.llm = LlmSettings(
        provider="openai", base_url=model.base_url, model="test-model", api_key="secret-key"
    )
    settings.security.egress_allow = ["127.0.0.0/8"]
