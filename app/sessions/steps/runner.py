"""Running a step: claim, render, invoke, and write what follows, all under the step's fence."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from structlog import get_logger
from structlog.contextvars import bound_contextvars

from app.db.engine import is_unavailable
from app.errors import StatewrightError
from app.flows.call import call
from app.flows.flow import Flow
from app.flows.graph import Graph
from app.flows.rendering.jinja import storable
from app.flows.select import select
from app.flows.template import Call, Invoke
from app.invokers.invoker import (
    InvocationContext,
    InvokerError,
    TransientInvokerError,
    discard,
)
from app.invokers.pool import Invokers
from app.kit.batch import Batch
from app.kit.registry import UnknownNameError
from app.sessions.runtime import Runtime
from app.sessions.steps.completion import Progress, StepCompletion
from app.sessions.steps.connections import ConnectionResolver
from app.sessions.steps.leases import LeaseLostError, Leases
from app.sessions.steps.partial_output import PartialWriter, partial_key
from app.sessions.store.change import ready
from app.sessions.store.claim import Claim
from app.sessions.turn.ending import ending_change
from app.sessions.turn.rendering import RenderSource
from app.sessions.turn.transition import TransitionInput

T = TypeVar("T")
log = get_logger(__name__)

_AWAY_PAUSE = 0.2
_MAX_ERROR_CHARS = 10_000


class StepRunner:
    """Runs the steps of one worker, which serves `queues`."""

    def __init__(
        self,
        runtime: Runtime,
        invokers: Invokers,
        connections: ConnectionResolver,
        leases: Leases,
        queues: list[str],
    ) -> None:
        self._runtime = runtime
        self._invokers = invokers
        self._connections = connections
        self._leases = leases
        self._queues = queues
        self._settings = runtime.settings.step
        # The steps of one map become due together.
        self._claims = Batch(self._claim_all)
        self._completion = StepCompletion(runtime.store, queues, self._settings)

    async def run(self, step_id: str) -> None:
        """Run a step if it is due and nobody else has it, and then what follows directly."""
        following: Claim | str | None = step_id
        while following is not None:
            claim = await self._claims(following) if isinstance(following, str) else following
            if claim is None:
                return
            with bound_contextvars(
                step_id=claim.step_id, session_id=claim.session.id, org_id=claim.session.org_id
            ):
                following = await self._attempt(claim)

    async def _claim_all(self, step_ids: list[str]) -> list[Claim | None]:
        return await self._runtime.store.claim(step_ids, self._settings.lease_seconds)

    async def _attempt(self, claim: Claim) -> Claim | str | None:
        """Run one attempt; the step that this worker goes on with, or its id."""
        if claim.attempt > claim.max_attempts:
            return await self._fail(claim, f"The step was lost {claim.max_attempts} times.")
        try:
            result = await self._leases.run(claim, self._result(claim))
            return await self._settle(claim, lambda: self._finish(claim, result))
        except LeaseLostError:
            log.warning("lease lost, the result is dropped", attempt=claim.attempt)
            return None
        except TransientInvokerError as error:
            return await self._retry(claim, error)
        except asyncio.CancelledError:
            # The worker stops: hand the step on at once instead of letting its lease lapse.
            await asyncio.shield(self._put_back(claim, 0.0, "The worker stopped.", free=True))
            raise
        except Exception as error:  # noqa: BLE001 - a step ends, whatever happens in it
            if is_unavailable(error):
                return await self._retry(claim, TransientInvokerError("PostgreSQL was away."))
            return await self._fail(claim, _told(error))

    async def _result(self, claim: Claim) -> str:
        """Render the step's template and send it to its invoker."""
        if claim.result is not None:
            return claim.result
        flow = await self._flow(claim)
        node, _ = Graph(flow.node(claim.state), {}, select).find(claim.path)
        match node:
            case Invoke():
                return await self._invoke(flow, claim, node)
            case Call(function):
                data = await self._source(flow, claim, None).data({"dialogue"})
                timeout = self._settings.timeout_seconds
                answer = call(function, data | claim.scope.visible())
                return storable(await _in_time(answer, timeout))
            case _:
                raise InvokerError(f"There is nothing to invoke at {claim.path!r}.")

    async def _invoke(self, flow: Flow, claim: Claim, node: Invoke) -> str:
        name, config = await self._connections.resolve(
            claim.session.org_id, node.invoker, node.config
        )
        invoker = self._invokers.resolve(name, config, trusted=flow.trusted)
        source = self._source(flow, claim, invoker.history)
        content = await source.render(node.text, claim.scope.visible())
        timeout = node.timeout or self._settings.timeout_seconds
        # Only the output of a single step is the answer that readers follow.
        emit = discard if claim.path else PartialWriter(self._runtime, claim).emit
        context = InvocationContext(claim.step_id, claim.attempt, timeout, emit)
        return storable(await _in_time(invoker.invoke(content, context), timeout))

    async def _finish(self, claim: Claim, result: str) -> Claim | str | None:
        """Write a result and what follows it: the next steps, or the invocation's end."""
        if claim.path:
            flow = await self._flow(claim)
            outcome = await self._completion.finish(
                claim,
                result,
                lambda: self._source(flow, claim, None).graph(flow.node(claim.state)),
            )
            if not isinstance(outcome, str):
                progress = outcome or Progress()
                await self._runtime.queue.publish(progress.published)
                self._runtime.wakeups.notify_soon(claim.session.id)
                return progress.mine
            ended = outcome
        else:
            ended = result
        reply = None if claim.path else (claim.step_id, claim.attempt)
        incoming = TransitionInput(
            claim.event, ended, f"invocation:{claim.invocation_id}", reply=reply
        )
        return await self._end(claim, incoming, result)

    async def _fail(self, claim: Claim, error: str) -> str | None:
        """End the invocation with an error; the session goes on with its event and no input."""
        log.warning("step failed", error=error, attempt=claim.attempt)
        reply = None if claim.path else (claim.step_id, claim.attempt)
        incoming = TransitionInput(
            claim.event, "", f"invocation:{claim.invocation_id}", error=error, reply=reply
        )
        return await self._settle(claim, lambda: self._end(claim, incoming, None))

    async def _end(self, claim: Claim, incoming: TransitionInput, result: str | None) -> str | None:
        change = await ending_change(self._runtime, claim.session, incoming)
        if not await self._runtime.store.complete(claim, change, result, incoming.error):
            log.warning("superseded, the result is dropped", attempt=claim.attempt)
            return None
        return await self._go_on(claim, ready(change.steps))

    async def _go_on(self, claim: Claim, steps: list[tuple[str, str]]) -> str | None:
        """Keep one of the steps that became ready, publish the others."""
        mine = next((step_id for step_id, queue in steps if queue in self._queues), None)
        others = [step for step in steps if step[0] != mine]
        namespace = self._runtime.settings.redis_namespace
        partial = partial_key(namespace, claim.step_id, claim.attempt)
        await self._runtime.queue.publish(others, wake=claim.session.id, outdated=[partial])
        return mine

    async def _retry(self, claim: Claim, error: TransientInvokerError) -> str | None:
        if claim.attempt >= claim.max_attempts:
            return await self._fail(claim, str(error))
        step = self._settings
        delay = min(step.backoff_seconds * 2 ** (claim.attempt - 1), step.backoff_max_seconds)
        delay *= random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        asked = min(error.retry_after or 0.0, step.backoff_max_seconds)
        await self._put_back(claim, max(delay, asked), str(error))
        return None

    async def _put_back(
        self, claim: Claim, delay: float, error: str, *, free: bool = False
    ) -> None:
        """Give a step up for a later attempt; a `free` one does not count against its limit."""
        log.info("step put back", delay=round(delay, 3), error=error, attempt=claim.attempt)
        queue = await self._settle(
            claim, lambda: self._runtime.store.retry(claim, delay, error, free=free)
        )
        if queue is not None:
            await self._runtime.queue.publish([(claim.step_id, queue)], delay=delay)

    async def _settle(self, claim: Claim, write: Callable[[], Awaitable[T]]) -> T | None:
        """Write, and write again while PostgreSQL is away: the work is done, it must not be lost.

        Past the lease it is in vain: the step belongs to another attempt.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.lease_seconds
        while True:
            try:
                return await write()
            except Exception as error:
                if not is_unavailable(error) or asyncio.get_running_loop().time() > deadline:
                    raise
                log.warning("postgresql is away, the result waits", attempt=claim.attempt)
                await asyncio.sleep(_AWAY_PAUSE)

    async def _flow(self, claim: Claim) -> Flow:
        session = claim.session
        return await self._runtime.catalog.get(session.org_id, session.flow, session.flow_revision)

    def _source(self, flow: Flow, claim: Claim, history: int | None) -> RenderSource:
        async def read_dialogue(limit: int | None) -> list[tuple[str, str]]:
            return await self._runtime.store.dialogue(claim.session.id, limit)

        return RenderSource(
            flow=flow,
            session_id=claim.session.id,
            state=claim.state,
            load_model=lambda: claim.session.load_model(flow),
            actor_input=claim.actor_input,
            moment=claim.entered,
            read_dialogue=read_dialogue,
            history=history or self._runtime.settings.session.history_messages,
        )


def _told(error: Exception) -> str:
    """What the session shows of an error: of one that may hold anything, only its kind."""
    if isinstance(error, InvokerError | StatewrightError | ValueError | UnknownNameError):
        text = str(error)[:_MAX_ERROR_CHARS].replace("\x00", "")
        return text.encode(errors="replace").decode()
    log.error("the step failed in a way that no step should", exc_info=error)
    return f"The step failed ({type(error).__name__})."


async def _in_time(answer: Awaitable[str], seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise TransientInvokerError(f"No answer within {seconds:g} seconds.") from None
