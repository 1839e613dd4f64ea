"""One attempt of a step: do what its template says, and say what comes of it."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from structlog import get_logger

from app.errors import PublicError, public_text
from app.flows.call import call
from app.flows.flow import Flow
from app.flows.graph import Graph, Unwrapped
from app.flows.rendering.jinja import storable
from app.flows.template import Ask, Call, Converse, Invoke, RetryPolicy, RunAgent, RunChat, RunTool
from app.invokers.invoker import (
    Answer,
    InvokerError,
    MarkedText,
)
from app.invokers.pool import Invokers
from app.invokers.tool import fitted
from app.kit.concurrency.loop_lag import works_on
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.asks import ask_person
from app.sessions.steps.attempts.children import AgentCall, ChatCall, ChildRunner, ChildRuns
from app.sessions.steps.attempts.connections import ConnectionResolver
from app.sessions.steps.attempts.invoker_calls import InvokerRunner, in_time
from app.sessions.steps.attempts.outcome import Answered, Failed, Outcome, TryAgain, Waiting, failed
from app.sessions.steps.attempts.planned_flow import FlowMissingError, PlannedCode, PlannedFlows
from app.sessions.steps.attempts.step_source import StepSource
from app.sessions.steps.attempts.tool_calls import CallAgainError, ToolRunner
from app.sessions.store.asks import NewAsk
from app.sessions.store.budgets import BudgetReservedError
from app.sessions.store.claim import Claim
from app.sessions.store.usage import AttemptUsage
from app.sessions.turn.ending import is_infrastructure

log = get_logger(__name__)

# Until another worker, which may have the flow or reach the database, takes the step; or until what
# others reserved of a budget may be free again.
_ELSEWHERE_SECONDS = 1.0


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
        self._flows = PlannedFlows(runtime)
        self._children = children
        self._invokers = InvokerRunner(runtime, invokers, connections)
        self.tools = ToolRunner(invokers, connections)
        self._settings = runtime.settings.step

    async def run(self, claim: Claim, usage: AttemptUsage) -> Outcome:
        """Runs one attempt; whatever happens in it is an outcome, but its cancellation.

        Args:
            claim: the step.
            usage: takes what its model request took.
        """
        works_on(org_id=claim.session.org_id, step_id=claim.step_id)
        policy = RetryPolicy()
        try:
            flow, node = await self._flows.find(claim)
            policy = _policy_of(node)
            claim = claim if flow.trusted else self._within_limits(claim)
            result = await self._result(flow, claim, node, usage)
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
        flow, _ = await self._flows.find(claim)
        return await StepSource(self._runtime, flow, claim).graph(flow.node(claim.state))

    def _within_limits(self, claim: Claim) -> Claim:
        """The claim with what a tenant's flow may have: the flow may be older than the limits."""
        limits = self._runtime.settings.limits
        if not limits.allows_queue(claim.queue):
            raise InvokerError(f"Queue {claim.queue!r} is not for flows of manifests.")
        return replace(claim, max_attempts=min(claim.max_attempts, limits.attempts))

    async def _result(
        self, flow: Flow, claim: Claim, node: Unwrapped, usage: AttemptUsage
    ) -> Answer | Waiting | NewAsk:
        if await self._flows.planned_code(flow, claim) is PlannedCode.ELSEWHERE:
            raise FlowMissingError(f"A worker has other code of flow {flow.key!r}.")
        if claim.result is not None:
            return Answer(claim.result)
        source = StepSource(self._runtime, flow, claim)
        match node:
            case Invoke():
                return await self._invokers.invoke(source, claim, node, usage, trusted=flow.trusted)
            case Converse():
                return await self._invokers.converse(source, claim, node, usage)
            case RunTool() | Ask() | RunAgent() | RunChat():
                return await self._waiting_result(source, claim, node)
            case Call(function):
                data = await source.data({"dialogue", "secondary_store"})
                timeout = self._settings.timeout_seconds
                answer = call(function, data | claim.scope.visible())
                return Answer(storable(await in_time(answer, timeout)))
            case _:
                raise InvokerError(f"There is nothing to invoke at {claim.path!r}.")

    async def _waiting_result(
        self, source: StepSource, claim: Claim, node: RunTool | Ask | RunAgent | RunChat
    ) -> Answer | Waiting | NewAsk:
        """The result of a step that may wait without a worker."""
        match node:
            case RunTool():
                return await self._run_tool(source, claim, node)
            case RunAgent() | RunChat():
                return await self._run_session(source, claim, node)
            case Ask():
                seen = claim.scope.visible()
                return await ask_person(
                    self._runtime.asks, claim, node, lambda text: source.render(text, seen)
                )

    async def _run_tool(self, source: StepSource, claim: Claim, node: RunTool) -> Answer | Waiting:
        item = claim.scope.fields["map_value"]
        asked = await source.read_model(lambda model: node.call(model, item))
        if asked.tool.runs_session:
            result = await self._children.call_tool(claim, asked)
            if isinstance(result, ChildRuns):
                return Waiting(result.session_id, result.seconds)
        else:
            result = await self.tools.run(claim, asked)
        result = fitted(result, item.get("calls", 1), asked.tool.on_large_result)
        return Answer(result.model_dump_json())

    async def _run_session(
        self, source: StepSource, claim: Claim, node: RunAgent | RunChat
    ) -> Answer | Waiting:
        """The result of a step that a session of its own gives, once it has."""
        seen = claim.scope.visible()
        starts = claim.waits_for is None  # what was asked stays: only the session's start reads it

        async def render(text: str) -> str:
            return await source.render(text, seen) if starts else ""

        call: AgentCall | ChatCall
        if isinstance(node, RunAgent):
            values = {name: await render(text) for name, text in node.values.items()}
            call = AgentCall(node.agent, values)
        else:
            asked = await source.render_marked(node.text, seen) if starts else MarkedText("")
            call = ChatCall(node.profile, asked, node.tools)
        outcome = await self._children.run(claim, call, node.timeout)
        if isinstance(outcome, ChildRuns):
            return Waiting(outcome.session_id, outcome.seconds)
        return Answer(outcome.text)

    def _after_failure(
        self, claim: Claim, error: InvokerError, policy: RetryPolicy
    ) -> TryAgain | Failed:
        step, failures = self._settings, claim.failures + 1
        given_up = failures >= claim.max_attempts or policy.is_final(error)
        if given_up and not isinstance(error, CallAgainError):
            return failed(error)
        retry_after = error.retry_after or 0.0
        most = step.backoff_max_seconds
        delay = policy.interval(failures, step.backoff_seconds, most)
        delay *= random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        delay = max(min(delay, policy.ceiling(most)), retry_after)
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
