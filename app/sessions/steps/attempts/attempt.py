"""One attempt of a step: render its template, call its invoker, and say what comes of it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

from structlog import get_logger

from app.errors import DefinitionMismatchError, NotFoundError, PublicError, public_text
from app.flows.call import call
from app.flows.flow import Flow
from app.flows.graph import Graph, Unwrapped
from app.flows.library.budget_action import UnaskedRequest
from app.flows.rendering.jinja import storable
from app.flows.select import select
from app.flows.template import Ask, Call, Converse, Invoke, RetryPolicy, RunAgent, RunChat, RunTool
from app.invokers.chat import answer_json, check_size
from app.invokers.invoker import (
    Answer,
    FailureKind,
    InvocationContext,
    InvokerError,
    TransientInvokerError,
)
from app.invokers.llm import MODELS, is_free
from app.invokers.pool import Invokers
from app.invokers.tool import fitted
from app.invokers.web.request_parts import NO_PARTS
from app.kit.registry import UnknownNameError
from app.queue.live_workers import Served
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.asks import NotAnsweredError, ask_for_raise, ask_person
from app.sessions.steps.attempts.children import AgentCall, ChatCall, ChildRunner, ChildRuns
from app.sessions.steps.attempts.connections import ConnectionResolver
from app.sessions.steps.attempts.http_request import request_parts
from app.sessions.steps.attempts.step_source import StepSource
from app.sessions.steps.attempts.tool_calls import CallAgainError, ToolRunner
from app.sessions.steps.partial_output import partial_output
from app.sessions.store.asks import NewAsk
from app.sessions.store.budgets import BudgetExceededError, BudgetReservedError, reserve
from app.sessions.store.claim import Claim
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.usage import Spent
from app.sessions.turn.ending import is_infrastructure
from app.sessions.turn.stored_values import with_stored_values
from app.wire.messages import ErrorCode

T = TypeVar("T")
log = get_logger(__name__)

# Until another worker, which may have the flow or reach the database, takes the step; or until what
# others reserved of a budget may be free again.
_ELSEWHERE_SECONDS = 1.0
# What an answer is thought to take at the most where its request does not say.
_ANSWER_TOKENS = 1_000
_CHARACTERS_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """The invoker's answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The step is to be run again.

    Attributes:
        delay: seconds.
        error: why.
        failures: 1 if the attempt counts against the step's limit: infrastructure's do not.
        losses: 1 if it ended without an answer.
    """

    delay: float
    error: str
    failures: int
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The step failed for good, and with it its invocation, which it may cancel instead."""

    error: str
    code: ErrorCode = ErrorCode.INVOCATION_FAILED
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The step waits without a worker; whoever ends that wakes it (`waits.wake`).

    Attributes:
        waits_for: id of the session or action that it waits for.
        seconds: after which it is run again all the same.
    """

    waits_for: str
    seconds: float


Outcome = Answered | TryAgain | Failed | Waiting | NewAsk


def failed(error: Exception) -> Failed:
    """The failure that an error makes of a step; wrong configuration says what is wrong."""
    if isinstance(error, NotAnsweredError):
        return Failed(str(error), error.code, cancels=error.cancels)
    text = public_text(error, shown=(ValueError, UnknownNameError))
    unknown = text == type(error).__name__
    code = ErrorCode.INVOCATION_FAILED
    if isinstance(error, BudgetExceededError):
        code = ErrorCode.BUDGET_EXCEEDED
    return Failed(f"The step failed ({text})." if unknown else text, code)


class FlowMissingError(Exception):
    """This worker does not have the step's flow as it was planned; another may."""


class PlannedCode(Enum):
    """Where the code of the flow is by which a step was planned."""

    HERE = auto()  # also that of a flow of a manifest, whose revision is named
    ELSEWHERE = auto()  # a worker that lives has it, and serves the step's queue
    GONE = auto()  # no worker has it any more
    UNKNOWN = auto()  # not here, and Redis did not say who else has it


class AttemptRunner:
    """Runs attempts in one worker."""

    def __init__(
        self,
        runtime: Runtime,
        invokers: Invokers,
        connections: ConnectionResolver,
        children: ChildRunner,
    ) -> None:
        self._runtime = runtime
        self._children = children
        self._invokers = invokers
        self._connections = connections
        self.tools = ToolRunner(invokers, connections)
        self._settings = runtime.settings.step

    async def run(self, claim: Claim, spent: Spent) -> Outcome:
        """Runs one attempt; whatever happens in it is an outcome, but its cancellation.

        Args:
            claim: the step.
            spent: takes what its model request took.
        """
        policy = RetryPolicy()
        try:
            flow, node = await self._node(claim)
            policy = _policy_of(node)
            result = await self._result(flow, claim, node, spent)
            return result if isinstance(result, Waiting | NewAsk) else Answered(result)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return Failed("The step's own code cancelled it.")
        except (FlowMissingError, BudgetReservedError) as error:
            return TryAgain(_ELSEWHERE_SECONDS, str(error), failures=0)
        except InvokerError as error:
            return self._after_failure(claim, error, policy)
        except Exception as error:
            if is_infrastructure(error):
                return TryAgain(_ELSEWHERE_SECONDS, public_text(error), failures=0)
            if not isinstance(error, PublicError):
                log.exception("step failed")
            return failed(error)

    async def graph(self, claim: Claim) -> Graph:
        """The step graph of the claim's invocation."""
        flow, _ = await self._node(claim)
        return await self._source(flow, claim).graph(flow.node(claim.state))

    async def _result(
        self, flow: Flow, claim: Claim, node: Unwrapped, spent: Spent
    ) -> Answer | Waiting | NewAsk:
        if await self._planned_code(flow, claim) is PlannedCode.ELSEWHERE:
            raise FlowMissingError(f"A worker has other code of flow {flow.key!r}.")
        if claim.result is not None:
            return Answer(claim.result)
        match node:
            case Invoke():
                return await self._invoke(flow, claim, node, spent)
            case Converse():
                return await self._converse(claim, node, flow, spent)
            case RunTool() | Ask() | RunAgent() | RunChat():
                return await self._waiting_result(flow, claim, node)
            case Call(function):
                data = await self._source(flow, claim).data({"dialogue", "secondary_store"})
                timeout = self._settings.timeout_seconds
                answer = call(function, data | claim.scope.visible())
                return Answer(storable(await _in_time(answer, timeout)))
            case _:
                raise InvokerError(f"There is nothing to invoke at {claim.path!r}.")

    async def _waiting_result(
        self, flow: Flow, claim: Claim, node: RunTool | Ask | RunAgent | RunChat
    ) -> Answer | Waiting | NewAsk:
        """The result of a step that may wait without a worker."""
        match node:
            case RunTool():
                return await self._run_tool(claim, node, flow)
            case RunAgent() | RunChat():
                return await self._run_session(flow, claim, node)
            case Ask():
                source = self._source(flow, claim)
                seen = claim.scope.visible()
                return await ask_person(
                    self._runtime.asks, claim, node, lambda text: source.render(text, seen)
                )

    async def _node(self, claim: Claim) -> tuple[Flow, Unwrapped]:
        session = claim.session
        try:
            flow = await self._runtime.catalog.get(
                session.org_id, session.flow, session.flow_revision
            )
        except (NotFoundError, DefinitionMismatchError) as error:
            raise FlowMissingError(f"A worker does not have flow {session.flow!r}.") from error
        return flow, await self._node_of(flow, claim)

    async def _node_of(self, flow: Flow, claim: Claim) -> Unwrapped:
        try:
            return Graph(flow.node(claim.state), {}, select).find(claim.path)[0]
        except (DefinitionMismatchError, LookupError) as error:
            if await self._planned_code(flow, claim) is PlannedCode.GONE:
                raise InvokerError(f"Flow {flow.key!r} was changed while it ran.") from error
            raise FlowMissingError(f"A worker does not have flow {flow.key!r}.") from error

    async def _planned_code(self, flow: Flow, claim: Claim) -> PlannedCode:
        """Where the code is by which the step was planned."""
        planned = claim.flow_fingerprint
        if planned in (None, flow.fingerprint):
            return PlannedCode.HERE
        match await self._runtime.live_workers.serve(claim.queue, planned):
            case Served.YES:
                return PlannedCode.ELSEWHERE
            case Served.NO:
                return PlannedCode.GONE
            case Served.UNKNOWN:
                return PlannedCode.UNKNOWN

    async def _invoke(
        self, flow: Flow, claim: Claim, node: Invoke, spent: Spent
    ) -> Answer | NewAsk:
        source, seen = self._source(flow, claim), claim.scope.visible()
        config, parts = node.config, NO_PARTS
        if node.invoker == "http":
            parts, config = await request_parts(config, lambda text: source.render(text, seen))
        name, config = await self._connections.resolve(claim.session.org_id, node.invoker, config)
        invoker = self._invokers.resolve(name, config, trusted=flow.trusted)
        content = await source.render(node.text, seen)
        await invoker.prepare()
        if name in MODELS:
            try:
                await self._reserve(claim, spent, node.invoker, len(content), config)
            except BudgetExceededError as error:
                return await ask_for_raise(self._runtime.asks, claim, error)
        timeout = node.timeout or self._settings.timeout_seconds
        answer = await self._called(
            claim,
            spent,
            node.invoker,
            timeout,
            lambda context: invoker.invoke(content, replace(context, request=parts)),
        )
        return replace(answer, text=storable(answer.text))

    async def _converse(self, claim: Claim, node: Converse, flow: Flow, spent: Spent) -> Answer:
        settings, session = self._runtime.settings.session, claim.session
        messages = await self._runtime.store.conversation(
            session.id, settings.history_messages, settings.history_characters
        )
        profile, asked = await self._read(
            flow, claim, lambda model: (node.profile(model), node.request(model, messages))
        )
        name, config = await self._connections.resolve(session.org_id, profile, {})
        invoker = self._invokers.resolve(name, config)
        await invoker.prepare()
        timeout = self._settings.timeout_seconds
        check_size(asked.messages)
        characters = sum(len(message.content) for message in asked.messages)
        try:
            await self._reserve(claim, spent, profile, characters, config)
        except BudgetExceededError as error:  # the turn waits for more, and loses nothing
            return Answer(UnaskedRequest(used_up=error.used_up).model_dump_json())
        answer = await self._called(
            claim, spent, profile, timeout, lambda context: invoker.ask(asked, context)
        )
        return Answer(answer_json(answer), answer.finish)

    async def _called(
        self,
        claim: Claim,
        spent: Spent,
        asked: str,
        seconds: float,
        call: Callable[[InvocationContext], Awaitable[Answer]],
    ) -> Answer:
        """Calls an invoker in time; readers see what it emits, and what it took is kept."""
        with partial_output(self._runtime, claim) as emit, spent.on(asked):
            context = InvocationContext(claim.step_id, claim.attempt, seconds, emit)
            answer = await _in_time(call(context), seconds)
            spent.usage = answer.usage
        return answer

    async def _reserve(
        self, claim: Claim, spent: Spent, asked: str, characters: int, config: Mapping[str, Any]
    ) -> None:
        """Reserves what a request may take, where budgets are over it.

        Raises:
            BudgetExceededError: one is used up.
            BudgetReservedError: the rest of one is reserved for others.
            PriceMissingError: one bounds the cost, and what is asked has no prices.
        """
        if claim.budgets is None:
            return
        answer = (config.get("parameters") or {}).get("max_tokens") or _ANSWER_TOKENS
        tokens = characters // _CHARACTERS_PER_TOKEN + answer
        provider = None if is_free(asked, self._runtime.settings.llm) else asked
        await reserve(self._runtime.database.pool, claim, claim.budgets, tokens, provider)
        spent.reserved = True

    async def _run_tool(self, claim: Claim, node: RunTool, flow: Flow) -> Answer | Waiting:
        item = claim.scope.fields["map_value"]
        tool, call = await self._read(flow, claim, lambda model: node.call(model, item))
        if tool.type in {"agent", "flow"}:
            result = await self._children.call_tool(claim, tool, call)
            if isinstance(result, ChildRuns):
                return Waiting(result.session_id, result.seconds)
        else:
            result = await self.tools.run(claim, tool, call)
        result = fitted(result, item.get("calls", 1), tool.on_large_result)
        return Answer(result.model_dump_json())

    async def _read(self, flow: Flow, claim: Claim, read: Callable[[Any], T]) -> T:
        """What is read of the session's model, with the stored values that this needs."""

        async def run(session: Snapshot) -> T:
            return read(session.load_model(flow))

        return await with_stored_values(self._runtime, claim.session, run)

    async def _run_session(
        self, flow: Flow, claim: Claim, node: RunAgent | RunChat
    ) -> Answer | Waiting:
        """The result of a step that a session of its own gives, once it has."""
        source, seen = self._source(flow, claim), claim.scope.visible()

        async def rendered(text: str) -> str:
            # What was asked stays: only the start of the session reads it.
            return storable(await source.render(text, seen)) if claim.waits_for is None else ""

        call: AgentCall | ChatCall
        if isinstance(node, RunAgent):
            values = {name: await rendered(text) for name, text in node.values.items()}
            call = AgentCall(node.agent, values)
        else:
            call = ChatCall(node.profile, await rendered(node.text), node.tools)
        outcome = await self._children.run(claim, call, node.timeout)
        if isinstance(outcome, ChildRuns):
            return Waiting(outcome.session_id, outcome.seconds)
        return Answer(outcome.text)

    def _source(self, flow: Flow, claim: Claim) -> StepSource:
        return StepSource(self._runtime, flow, claim)

    def _after_failure(
        self, claim: Claim, error: InvokerError, policy: RetryPolicy
    ) -> TryAgain | Failed:
        step, failures = self._settings, claim.failures + 1
        given_up = failures >= claim.max_attempts or policy.is_final(error)
        if given_up and not isinstance(error, CallAgainError):
            return failed(error)
        asked = error.retry_after or 0.0
        most = step.backoff_max_seconds
        delay = policy.interval(failures, step.backoff_seconds, most)
        delay *= random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        delay = max(min(delay, policy.ceiling(most)), asked)
        if delay > claim.seconds_left():
            return Failed(f"{error}; it is not to be asked again before {_moment_in(delay)}")
        return TryAgain(delay, str(error), failures=1)


def _policy_of(node: Unwrapped) -> RetryPolicy:
    """The policy of a template; that of the service where it has none."""
    own = node.retry if isinstance(node, Invoke) else None
    return own or RetryPolicy()


def _is_cancelled() -> bool:
    """Whether this task is to end, rather than something in it raised a cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _moment_in(seconds: float) -> str:
    try:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except OverflowError:
        return "the end of time"


async def _in_time(answer: Awaitable[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise TransientInvokerError(
            f"No answer within {seconds:g} seconds.", kind=FailureKind.TIMEOUT
        ) from None
