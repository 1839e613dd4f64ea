"""One model behind one HTTP client: sends chats through pydantic-ai and gives back its answers.

Importing this takes seconds, so only `LlmInvoker` does it, when a provider is first used.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus
from importlib import import_module
from typing import cast

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from app.invokers.chat import ChatRequest
from app.invokers.chat_models import providers
from app.invokers.chat_models.answer_text import AnswerText
from app.invokers.chat_models.answers import ModelAnswers, NotStreamedError
from app.invokers.chat_models.config import LlmConfig
from app.invokers.chat_models.conversion import (
    text_added,
    to_model_messages,
    to_request_parameters,
)
from app.invokers.chat_models.errors import as_invoker_error, causes
from app.invokers.chat_models.outcome import end_of
from app.invokers.chat_models.reasoning import kept_reasoning, source_of
from app.invokers.invoker import Answer, InvocationContext
from app.invokers.web.http_client import guarded_client, operator_client
from app.invokers.web.secret_texts import SecretMask

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
        self._answers = SecretMask(config.secrets())
        self._errors = SecretMask.of_errors(config.secrets())
        self._source = source_of(config)
        self._parameters = cast(ModelSettings, config.parameters.model_dump(exclude_none=True))
        self._stream = config.stream
        self._whole_until = 0.0

    async def ask(
        self, request: ChatRequest, context: InvocationContext
    ) -> AsyncGenerator[str | Answer, None]:
        """The text in the pieces in which it comes; at last an `Answer` with all but the text.

        It is one piece when the server does not stream. An `Answer` before the last says only what
        a request took that had to be made again.

        Raises:
            TransientInvokerError: it may work later.
            InvokerError: it never will.
        """
        messages = to_model_messages(request.messages, self._source)
        parameters = to_request_parameters(request.tools)
        settings = self._parameters | ModelSettings(
            request_timeout=context.timeout,
            extra_headers={"Idempotency-Key": context.step_id},
        )
        if context.max_tokens is not None:
            own = self._parameters.get("max_tokens") or context.max_tokens
            settings |= ModelSettings(max_tokens=min(own, context.max_tokens))
        try:
            asked = self._forced(messages, settings, parameters, request.must_call)
            async with aclosing(asked) as pieces:
                stream = self._answers.stream()
                async for piece in pieces:
                    text = stream.end() if isinstance(piece, Answer) else stream.feed(piece)
                    if text:
                        yield text
                    if isinstance(piece, Answer):
                        yield piece
        except Exception as error:  # noqa: BLE001 - three libraries' errors become the contract's
            raise as_invoker_error(error, self._errors) from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _forced(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
        must_call: Sequence[str],
    ) -> AsyncGenerator[str | Answer, None]:
        """Has the model call one of these tools; one that cannot be made to is asked as ever."""
        if must_call:
            forced = settings | ModelSettings(tool_choice=[*must_call])
            try:
                async with aclosing(self._pieces(messages, forced, parameters)) as pieces:
                    async for piece in pieces:
                        yield piece
            except UserError:  # as of a model that thinks
                pass
            except ModelHTTPError as error:
                if error.status_code != HTTPStatus.BAD_REQUEST:
                    raise
            else:
                return
        async with aclosing(self._pieces(messages, settings, parameters)) as pieces:
            async for piece in pieces:
                yield piece

    async def _pieces(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> AsyncGenerator[str | Answer, None]:
        if self._stream and time.monotonic() >= self._whole_until:
            try:
                async with aclosing(self._streamed(messages, settings, parameters)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                whole = next((c for c in causes(error) if isinstance(c, NotStreamedError)), None)
                if whole is None:
                    raise
                yield Answer("", usage=whole.usage)
                self._whole_until = time.monotonic() + WHOLE_SECONDS
            else:
                return
        response = await model_request(
            self._model, messages, model_settings=settings, model_request_parameters=parameters
        )
        text = AnswerText()
        said = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        answer = text.feed(said) + text.end()
        yield answer
        yield self._end(response, answer, parameters, text)

    async def _streamed(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
    ) -> AsyncGenerator[str | Answer, None]:
        text, said = AnswerText(), False
        async with model_request_stream(
            self._model, messages, model_settings=settings, model_request_parameters=parameters
        ) as stream:
            async for event in stream:
                if piece := text.feed(text_added(event)):
                    said = said or not piece.isspace()
                    yield piece
            rest = text.end()
            if rest:
                yield rest
            spoken = "said" if said else rest
            yield self._end(stream.get(), spoken, parameters, text)

    def _end(
        self,
        response: ModelResponse,
        spoken: str,
        parameters: ModelRequestParameters,
        text: AnswerText,
    ) -> Answer:
        end = end_of(response, spoken, parameters, self._answers, reasoned=text.reasoned)
        if not end.calls or (kept := kept_reasoning(response.parts, self._source)) is None:
            return end
        return replace(end, reasoning=self._answers.text(kept))
