"""Chat models of any provider, or the built-in `echo` model when none is configured."""

import asyncio
import pkgutil
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from typing_extensions import override

from app.invokers.chat import ChatInvoker, ChatRequest
from app.invokers.chat_models import providers
from app.invokers.chat_models.config import LlmConfig, complete_config
from app.invokers.config import read_config
from app.invokers.echo import EchoInvoker
from app.invokers.invoker import Answer, Finish, InvocationContext, InvokerError, Usage
from app.invokers.web.egress import parse_networks
from app.kit.invalid import InvalidValueError
from app.settings import LlmSettings
from app.wire.messages import MAX_TEXT

if TYPE_CHECKING:
    from app.invokers.chat_models.connection import LlmConnection


# The invokers that a thread's `model_profile` may name beside a Provider of its org: that of the
# operator's settings, and two that are offline.
BUILT_IN_PROFILES = {"default": "llm", "echo": "echo", "script": "script"}
# The invokers that are models; a Provider's is `llm`.
MODELS = frozenset(BUILT_IN_PROFILES.values())


class LlmInvoker(ChatInvoker):
    """Sends the content as a chat and gives back the answer.

    The content is a YAML or JSON list of `{role: system|user|assistant, content: text}`; any other
    text is one user message. Nothing of it is logged.
    """

    name: ClassVar[str | None] = "llm"

    def __init__(self, config: LlmConfig) -> None:
        self._config = config
        self._echo = EchoInvoker(config.echo_delay_seconds)
        self._connection: LlmConnection | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> Self:
        parsed = read_config(LlmConfig, config)
        if parsed.provider is not None and parsed.provider not in provider_names():
            raise InvalidValueError(
                f"unknown provider {parsed.provider!r}; known: {', '.join(provider_names())}. "
                "A server with an OpenAI-compatible endpoint is provider 'openai' with a base_url; "
                "any other needs its extra of pydantic-ai-slim and a file in "
                f"{providers.__name__}"
            )
        if parsed.provider is not None and not parsed.url():
            raise InvalidValueError(f"provider {parsed.provider!r} needs a base_url")
        parse_networks(parsed.egress_allow)
        return cls(parsed)

    @override
    async def prepare(self) -> None:
        if self._config.provider is not None:
            await self._connect()

    @override
    async def ask(self, request: ChatRequest, context: InvocationContext) -> Answer:
        if self._config.provider is None:
            return await self._echo.ask(request, context)
        connection = await self._connect()
        pieces: list[str] = []
        end, usage, left = Answer(""), Usage(), MAX_TEXT
        try:
            async with aclosing(connection.ask(request, context)) as answer:
                async for piece in answer:
                    if isinstance(piece, Answer):
                        end, usage = piece, usage + piece.usage
                        continue
                    pieces.append(piece[:left])
                    await context.emit(piece[:left])
                    if len(piece) > left:
                        return Answer("".join(pieces), Finish.LENGTH, usage=usage)
                    left -= len(piece)
        except InvokerError as error:
            error.usage = usage + (error.usage or Usage())
            raise
        return replace(end, text="".join(pieces), usage=usage)

    @override
    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _connect(self) -> "LlmConnection":
        async with self._connecting:
            if self._connection is None:
                # In a thread: importing takes seconds, in which leases must be renewed.
                self._connection = await asyncio.to_thread(_open_connection, self._config)
            return self._connection


def is_free(name: str, default: LlmSettings) -> bool:
    """Whether what is asked is one of the offline models, which cost nothing."""
    return name in ("echo", "script") or (name == "llm" and default.provider is None)


class LlmSettingsError(ValueError):
    """The operator's default provider is set so that no model would ever answer."""


def check_llm_settings(llm: LlmSettings, egress_allow: Sequence[str] = ()) -> None:
    """Refuses a default provider that does not exist, or cannot be reached as it is set.

    Raises:
        LlmSettingsError: the text says what is wrong.
    """
    try:
        LlmInvoker.from_config(complete_config({}, llm, egress_allow))
    except InvalidValueError as error:
        raise LlmSettingsError(f"STATEWRIGHT_LLM__…: {error}") from None


def provider_names() -> list[str]:
    """The providers that there are: the files in `app/invokers/chat_models/providers`."""
    return sorted(module.name for module in pkgutil.iter_modules(providers.__path__))


def _open_connection(config: LlmConfig) -> "LlmConnection":
    from app.invokers.chat_models.connection import (  # noqa: PLC0415 - slow, and `echo` needs none
        LlmConnection,
    )

    return LlmConnection(config)
