"""Calls of invokers: what a template renders, or a turn of `chat` asks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from app.flows.library.budget_action import UnaskedRequest
from app.flows.rendering.jinja import storable
from app.flows.template import Converse, Invoke
from app.invokers.chat import answer_json, check_size, request_size
from app.invokers.invoker import (
    Answer,
    FailureKind,
    InvocationContext,
    TransientInvokerError,
)
from app.invokers.llm import MODELS, is_free
from app.invokers.pool import Invokers
from app.invokers.web.request_parts import NO_PARTS
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.asks import ask_for_raise
from app.sessions.steps.attempts.connections import ConnectionResolver
from app.sessions.steps.attempts.http_request import request_parts
from app.sessions.steps.attempts.step_source import StepSource
from app.sessions.steps.partial_output import partial_output
from app.sessions.store.asks import NewAsk
from app.sessions.store.budgets import BudgetExceededError, Needs, reserve
from app.sessions.store.claim import Claim
from app.sessions.store.usage import AttemptUsage

T = TypeVar("T")

# What an answer may take under a budget of tokens or money, where its request does not say.
_ANSWER_TOKENS = 8_000
_BYTES_PER_TOKEN = 3


class InvokerRunner:
    """Calls the invokers of one worker."""

    def __init__(
        self, runtime: Runtime, invokers: Invokers, connections: ConnectionResolver
    ) -> None:
        self._runtime = runtime
        self._invokers = invokers
        self._connections = connections
        self._settings = runtime.settings.step

    async def invoke(
        self, source: StepSource, claim: Claim, node: Invoke, usage: AttemptUsage, *, trusted: bool
    ) -> Answer | NewAsk:
        """Renders a template, and sends it to the invoker that it names.

        Args:
            source: what the template sees.
            claim: the step.
            node: the template.
            usage: takes what a model request took.
            trusted: the flow comes as code, whose config may say more.

        Raises:
            InvokerError: the call failed.
            PublicError: it cannot be made.
        """
        seen = claim.scope.visible()
        config, parts = node.config, NO_PARTS
        if node.invoker == "http":
            parts, config = await request_parts(config, lambda text: source.render(text, seen))
        name, config = await self._connections.resolve(claim.session.org_id, node.invoker, config)
        invoker = self._invokers.resolve(name, config, trusted=trusted)
        if name in MODELS or "." in name:  # a class of the operator's may be a model too
            content, values = await source.render_marked(node.text, seen)
        else:
            content, values = await source.render(node.text, seen), ()
        await invoker.prepare()
        most_tokens = None
        if name in MODELS:
            try:
                size = len(content.encode())
                most_tokens = await self._reserve(claim, usage, node.invoker, size, config)
            except BudgetExceededError as error:
                return await ask_for_raise(self._runtime.asks, claim, error)
        timeout = node.timeout or self._settings.timeout_seconds
        if not trusted:  # what was stored may be from before the limit
            timeout = min(timeout, self._runtime.settings.limits.timeout_seconds)
        answer = await self._call(
            claim,
            usage,
            node.invoker,
            timeout,
            lambda context: invoker.invoke(
                content,
                replace(context, request=parts, values=values, max_tokens=most_tokens),
            ),
        )
        return replace(answer, text=storable(answer.text))

    async def converse(
        self, source: StepSource, claim: Claim, node: Converse, usage: AttemptUsage
    ) -> Answer:
        """Asks a chat model for the next message of the dialogue; see `invoke`."""
        settings, session = self._runtime.settings.session, claim.session
        messages = await self._runtime.store.conversation(
            session.id, settings.history_messages, settings.history_characters
        )
        profile, request = await source.read_model(
            lambda model: (node.profile(model), node.request(model, messages))
        )
        name, config = await self._connections.resolve(session.org_id, profile, {})
        invoker = self._invokers.resolve(name, config)
        await invoker.prepare()
        timeout = self._settings.timeout_seconds
        check_size(request.messages)
        try:
            size = 0 if claim.budgets is None else await request_size(request)
            most_tokens = await self._reserve(claim, usage, profile, size, config)
        except BudgetExceededError as error:  # the turn waits for more, and loses nothing
            return Answer(UnaskedRequest(used_up=error.used_up).model_dump_json())
        answer = await self._call(
            claim,
            usage,
            profile,
            timeout,
            lambda context: invoker.ask(request, replace(context, max_tokens=most_tokens)),
        )
        return Answer(answer_json(answer), answer.finish)

    async def _call(
        self,
        claim: Claim,
        usage: AttemptUsage,
        provider: str,
        seconds: float,
        call: Callable[[InvocationContext], Awaitable[Answer]],
    ) -> Answer:
        """Calls an invoker in time; readers see what it emits, and what it took is kept."""
        with partial_output(self._runtime, claim) as emit, usage.on(provider):
            context = InvocationContext(claim.step_id, claim.attempt, seconds, emit)
            answer = await in_time(call(context), seconds)
            usage.tokens = answer.usage
        return answer

    async def _reserve(
        self, claim: Claim, usage: AttemptUsage, provider: str, size: int, config: Mapping[str, Any]
    ) -> int | None:
        """Reserves what a request of so many bytes may take, where budgets are over it.

        Returns:
            How many tokens its answer may have; None for any.

        Raises:
            BudgetExceededError: one is used up.
            BudgetReservedError: the rest of one is reserved for others.
            PriceMissingError: one bounds the cost, and the provider has no prices.
        """
        if claim.budgets is None:
            return None
        answer = (config.get("parameters") or {}).get("max_tokens") or _ANSWER_TOKENS
        needs = Needs(size // _BYTES_PER_TOKEN, answer)
        paid = None if is_free(provider, self._runtime.settings.llm) else provider
        pool = self._runtime.database.pool
        most_tokens = await reserve(pool, claim, claim.budgets, needs, paid)
        usage.reserved = True
        return most_tokens


async def in_time(answer: Awaitable[T], seconds: float) -> T:
    """An answer, where it comes within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise TransientInvokerError(
            f"No answer within {seconds:g} seconds.", kind=FailureKind.TIMEOUT
        ) from None
