"""OpenAI, and every server with an OpenAI-compatible chat completions endpoint."""

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from app.invokers.chat_models.config import LlmConfig

# `AnswerText` takes off reasoning in tags. pydantic-ai knows tags only as pieces of their own, and
# takes the answer for reasoning where a piece holds the closing tag and more: it must know none.
# The schemas of tools are sent as they are: walking through large ones would hold up the loop.
_PROFILE = OpenAIModelProfile(thinking_tags=("\x00<", "\x00>"), json_schema_transformer=None)


def chat_model(config: LlmConfig, http: httpx2.AsyncClient) -> Model:
    """The model at `config.base_url`, or at OpenAI's own when there is none."""
    is_azure = "api-version" in config.query()  # which takes the key in a header of its own
    if is_azure:
        http.event_hooks = {"request": [_drop_bearer]}
    headers = {"api-key": config.key()} if is_azure else {}
    client = AsyncOpenAI(
        api_key=config.key(),
        base_url=config.url(),
        default_query=config.query(),
        http_client=http,
        max_retries=0,
        timeout=http.timeout,
    )
    # The SDK reads these from the environment of the worker; they are none of a tenant's server's.
    client.organization = client.project = client.admin_api_key = client.webhook_secret = None
    client._custom_headers = headers  # noqa: SLF001 - which have no other way past OPENAI_CUSTOM_HEADERS
    provider = (
        OpenAICompatibleProvider("openai-compatible", openai_client=client)
        if config.base_url
        else OpenAIProvider(openai_client=client)
    )
    return OpenAIChatModel(config.model_name(), provider=provider, profile=_PROFILE)


async def _drop_bearer(request: httpx2.Request) -> None:
    request.headers.pop("authorization", None)
