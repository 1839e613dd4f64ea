"""One model behind one HTTP client: sends chats through pydantic-ai and gives back text.

Importing this takes seconds, so only `LlmInvoker` does it, when a provider is first used.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from importlib import import_module
from typing import cast

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, StreamedResponse
from pydantic_ai.settings import ModelSettings

from app.invokers.chat import ChatMessage
from app.invokers.chat_models import providers
from app.invokers.chat_models.errors import as_invoker_error
from app.invokers.http_client import guarded_client, operator_client
from app.invokers.invoker import InvocationContext, TransientInvokerError
from app.invokers.llm_config import LlmConfig


class LlmConnection:
    """A model that can be asked; many questions run at once."""

    def __init__(self, config: LlmConfig) -> None:
        self._http = (
            operator_client() if config.operator_owned else guarded_client(config.egress_allow)
        )
        make: Callable[..., Model] = import_module(
            f"{providers.__name__}.{config.provider}"
        ).chat_model
        self._model = make(config, self._http)
        self._key = config.key()
        self._parameters = cast(ModelSettings, config.parameters.model_dump(exclude_none=True))
        self._stream = config.stream

    async def ask(
        self, chat: list[ChatMessage], context: InvocationContext
    ) -> AsyncGenerator[str, None]:
        """The answer in the pieces in which it comes; one piece when the server does not stream.

        Raises:
            TransientInvokerError: it may work later.
            InvokerError: it never will.
        """
        messages = to_model_messages(chat)
        settings = self._parameters | ModelSettings(
            request_timeout=context.timeout,
            extra_headers={"Idempotency-Key": context.step_id},
        )
        try:
            async with aclosing(self._pieces(messages, settings)) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as error:  # noqa: BLE001 - three libraries' errors become the contract's
            raise as_invoker_error(error, self._key) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _pieces(
        self, messages: list[ModelMessage], settings: ModelSettings
    ) -> AsyncGenerator[str, None]:
        if self._stream:
            async with self._open_stream(messages, settings) as stream:
                if stream is not None:
                    async for event in stream:
                        if piece := _text_of(event):
                            yield piece
                    _require_end(stream.get())
                    return
        response = await model_request(self._model, messages, model_settings=settings)
        self._stream = False  # for a server that cannot, one lost request is enough
        yield "".join(part.content for part in response.parts if isinstance(part, TextPart))

    @asynccontextmanager
    async def _open_stream(
        self, messages: list[ModelMessage], settings: ModelSettings
    ) -> AsyncIterator[StreamedResponse | None]:
        """The stream, or None when the server answered without a single event."""
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(
                    model_request_stream(self._model, messages, model_settings=settings)
                )
            except UnexpectedModelBehavior:
                stream = None
            yield stream


def to_model_messages(chat: list[ChatMessage]) -> list[ModelMessage]:
    """The chat in pydantic-ai's words: what comes before an answer is one request."""
    messages: list[ModelMessage] = []
    request: list[ModelRequestPart] = []
    for message in chat:
        if message.role == "assistant":
            if request:
                messages.append(ModelRequest(parts=request))
            messages.append(ModelResponse(parts=[TextPart(message.content)]))
            request = []
        else:
            part = SystemPromptPart if message.role == "system" else UserPromptPart
            request.append(part(message.content))
    return [*messages, ModelRequest(parts=request)] if request else messages


def _text_of(event: ModelResponseStreamEvent) -> str:
    """The text that an event adds to the answer; thinking is not part of it."""
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""


def _require_end(response: ModelResponse) -> None:
    """Refuse an answer whose stream stopped without the word that it is complete."""
    if response.finish_reason is None and "finish_reason" not in (response.provider_details or {}):
        raise TransientInvokerError("the model's answer broke off")
