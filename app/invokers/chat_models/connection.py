"""One model behind one HTTP client: sends chats through pydantic-ai and gives back text.

Importing this takes seconds, so only `LlmInvoker` does it, when a provider is first used.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from importlib import import_module
from typing import cast

from pydantic_ai.direct import model_request, model_request_stream
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
from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings

from app.invokers.chat import ChatMessage, alternating
from app.invokers.chat_models import providers
from app.invokers.chat_models.answer_text import AnswerText
from app.invokers.chat_models.answers import ModelAnswers, NotStreamedError
from app.invokers.chat_models.errors import as_invoker_error, causes
from app.invokers.chat_models.outcome import finish_of
from app.invokers.invoker import Finish, InvocationContext
from app.invokers.llm_config import LlmConfig
from app.invokers.web.http_client import guarded_client, operator_client

# How long a server that answered whole where a stream was asked for is asked for none.
WHOLE_SECONDS = 300.0


class LlmConnection:
    """A model that can be asked; many questions run at once."""

    def __init__(self, config: LlmConfig) -> None:
        self._http = (
            operator_client(wrap=ModelAnswers)
            if config.operator_owned
            else guarded_client(config.egress_allow, wrap=ModelAnswers)
        )
        make: Callable[..., Model] = import_module(
            f"{providers.__name__}.{config.provider}"
        ).chat_model
        self._model = make(config, self._http)
        self._key = config.key()
        self._parameters = cast(ModelSettings, config.parameters.model_dump(exclude_none=True))
        self._stream = config.stream
        self._whole_until = 0.0

    async def ask(
        self, chat: list[ChatMessage], context: InvocationContext
    ) -> AsyncGenerator[str | Finish, None]:
        """The answer in the pieces in which it comes, and at last why it ended.

        It is one piece when the server does not stream.

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
        """Closes the connections."""
        await self._http.aclose()

    async def _pieces(
        self, messages: list[ModelMessage], settings: ModelSettings
    ) -> AsyncGenerator[str | Finish, None]:
        if self._stream and time.monotonic() >= self._whole_until:
            try:
                async with aclosing(self._streamed(messages, settings)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                if not any(isinstance(cause, NotStreamedError) for cause in causes(error)):
                    raise
                self._whole_until = time.monotonic() + WHOLE_SECONDS
            else:
                return
        response = await model_request(self._model, messages, model_settings=settings)
        text = AnswerText()
        said = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        answer = text.feed(said) + text.end()
        yield answer
        yield finish_of(response, answer, reasoned=text.reasoned)

    async def _streamed(
        self, messages: list[ModelMessage], settings: ModelSettings
    ) -> AsyncGenerator[str | Finish, None]:
        text, said = AnswerText(), False
        async with model_request_stream(self._model, messages, model_settings=settings) as stream:
            async for event in stream:
                if piece := text.feed(text_added(event)):
                    said = said or not piece.isspace()
                    yield piece
            rest = text.end()
            if rest:
                yield rest
            yield finish_of(stream.get(), "said" if said else rest, reasoned=text.reasoned)


def to_model_messages(chat: list[ChatMessage]) -> list[ModelMessage]:
    """The chat in pydantic-ai's words: what comes before an answer is one request."""
    messages: list[ModelMessage] = []
    request: list[ModelRequestPart] = []
    for message in alternating(chat):
        if message.role == "assistant":
            if request:
                messages.append(ModelRequest(parts=request))
            messages.append(ModelResponse(parts=[TextPart(message.content)]))
            request = []
        else:
            part = SystemPromptPart if message.role == "system" else UserPromptPart
            request.append(part(message.content))
    return [*messages, ModelRequest(parts=request)] if request else messages


def text_added(event: ModelResponseStreamEvent) -> str:
    """The text that an event adds to the answer; thinking is not part of it."""
    match event:
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""
