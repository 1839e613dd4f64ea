"""Anthropic, and servers with an Anthropic-compatible messages endpoint."""

import httpx2
from anthropic import AsyncAnthropic
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider

from app.invokers.chat_models.config import LlmConfig

# The schemas of tools are sent as they are: walking through large ones would hold up the loop.
_PROFILE = ModelProfile(json_schema_transformer=None)


def chat_model(config: LlmConfig, http: httpx2.AsyncClient) -> Model:
    """The model at `config.base_url`, or at Anthropic's own when there is none."""
    client = AsyncAnthropic(
        api_key=config.key(),
        base_url=config.url(),
        default_query=config.query(),
        http_client=http,
        max_retries=0,
        timeout=http.timeout,
    )
    # The SDK reads these from the environment of the worker; they are none of a tenant's server's.
    client.auth_token = client.webhook_key = None
    client._custom_headers = {}  # noqa: SLF001 - which have no other way past ANTHROPIC_CUSTOM_HEADERS
    provider = AnthropicProvider(anthropic_client=client)
    return AnthropicModel(config.model_name(), provider=provider, profile=_PROFILE)
