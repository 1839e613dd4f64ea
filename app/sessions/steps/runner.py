"""Running a step: claim it, run an attempt, and write what follows under the step's fence."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from structlog import get_logger
from structlog.contextvars import bound_contextvars

from app.invokers.invoker import Answer
from app.kit.concurrency.batch import Batch
from app.kit.concurrency.shares import work_for
from app.queue.keys import partial_key, partial_keys
from app.sessions.runtime import Runtime
from app.sessions.steps.attempts.attempt import AttemptRunner
from app.sessions.steps.attempts.outcome import (
    Answered,
    Failed,
    Outcome,
    TryAgain,
    Waiting,
    failed,
)
from app.sessions.steps.completion import (
    InvocationContinues,
    InvocationEnds,
    StepCompletion,
)
from app.sessions.steps.leases import LeaseLostError, Leases
from app.sessions.steps.suspects import Suspects
from app.sessions.store.asks import NewAsk
from app.sessions.store.cause import Cause
from app.sessions.store.claim import Claim
from app.sessions.store.new_rows import DueStep
from app.sessions.store.outcome import Superseded
from app.sessions.store.usage import AttemptUsage
from app.sessions.turn.ending import cancel_children, ending_change, is_infrastructure
from app.sessions.turn.transition_input import TransitionInput
from app.sessions.turn.waking import notify_above, wake, wake_above
from app.wire.messages import ErrorCode

T = TypeVar("T")
log = get_logger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0

# What this worker goes on with: a step that it has claimed, or one that it will claim.
Following = Claim | DueStep | None


class StepRunner:
    """Runs the steps of one worker, which serves `queues`."""

    def __init__(
        self, runtime: Runtime, attempts: AttemptRunner, leases: Leases, queues: list[str]
    ) -> None:
        self._runtime = runtime
        self._attempts = attempts
        self._leases = leases
        self._queues = queues
        self._settings = runtime.settings.step
        # The steps of one map become due together.
        self._claims = Batch(self._claim_all)
        self._suspects = Suspects(self._run_suspect, runtime.settings.worker.suspects)
        self._completion = StepCompletion(
            runtime.store,
            queues,
            lease=self._settings.lease_seconds,
            max_attempts=self._settings.max_attempts,
        )

    async def run(self, step_id: str) -> None:
        """Runs a step if it is due and nobody else has it, and then what follows directly."""
        claim = await self._claims(step_id)
        if claim is None:  # it may be one whose worker was lost
            await self._suspects.add(step_id)
        await self._run_all(claim)

    async def _run_suspect(self, step_id: str) -> None:
        lease = self._settings.lease_seconds
        (claim,) = await self._runtime.store.claim([step_id], lease, suspects=True)
        await self._run_all(claim)

    async def _run_all(self, claim: Claim | None) -> None:
        while claim is not None:
            with bound_contextvars(
                step_id=claim.step_id, session_id=claim.session.id, org_id=claim.session.org_id
            ):
                following = await self._run_claim(claim)
            if isinstance(following, DueStep):
                following = await self._claims(following.step_id)
            claim = following

    async def _claim_all(self, step_ids: list[str]) -> list[Claim | None]:
        return await self._runtime.store.claim(step_ids, self._settings.lease_seconds)

    async def _run_claim(self, claim: Claim) -> Following:
        """Runs one attempt, and writes its outcome."""
        work_for(claim.session.org_id)
        usage = AttemptUsage()
        try:
            outcome = await self._outcome(claim, usage)
        except LeaseLostError:
            log.warning("lease lost, the result is dropped", attempt=claim.attempt)
            await self._record(claim, usage)
            self._attempts.tools.leaves_in_doubt(claim.fence)  # whoever has the step now decides
            await self._forget_partial(claim)
            return None
        except asyncio.CancelledError:
            # The worker stops: hand the step on at once instead of letting its lease lapse.
            lost = self._attempts.tools.leaves_in_doubt(claim.fence)
            stopped = TryAgain(0.0, "The worker stopped.", failures=0, losses=int(lost))
            await asyncio.shield(self._settle(claim, stopped, usage))
            raise
        return await self._settle(claim, outcome, usage)

    async def _outcome(self, claim: Claim, usage: AttemptUsage) -> Outcome:
        if claim.lost_workers > self._settings.max_losses:
            log.error("step quarantined", lost_workers=claim.lost_workers)
            return Failed(
                f"The step is in quarantine: {claim.lost_workers} attempts ended without an "
                "answer, as when a worker is killed. It is not run again by itself."
            )
        return await self._leases.run(claim, self._attempts.run(claim, usage))

    async def _settle(self, claim: Claim, outcome: Outcome, usage: AttemptUsage) -> Following:
        with self._leases.keeping(claim.fence):
            try:
                await self._record(claim, usage)
                return await self._write_in_the_end(claim, lambda: self._write(claim, outcome))
            except Exception as error:
                if isinstance(outcome, Failed):
                    raise
                log.exception("the outcome of a step cannot be written")
                failure = failed(error)
                return await self._write_in_the_end(claim, lambda: self._write(claim, failure))

    async def _record(self, claim: Claim, usage: AttemptUsage) -> None:
        """Writes what the attempt's request to a model took: its outcome may be dropped."""
        if usage.counts:
            await self._write_in_the_end(claim, lambda: self._runtime.usage.record(claim, usage))

    async def _write_in_the_end(self, claim: Claim, write: Callable[[], Awaitable[T]]) -> T:
        """Writes, and writes again while the database fails: the work is done, and is kept.

        If somebody else takes the step meanwhile, the write finds out by itself.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                return await write()
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                log.warning(
                    "an outcome cannot be written now, it waits",
                    attempt=claim.attempt,
                    error=type(error).__name__,
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _write(self, claim: Claim, outcome: Outcome) -> Following:
        match outcome:
            case Answered(answer):
                return await self._finish(claim, answer)
            case Failed():
                log.warning("step failed", error=outcome.error, attempt=claim.attempt)
                return await self._end(claim, _ending(claim, Answer(""), outcome), None)
            case TryAgain():
                await self._put_back(claim, outcome)
                return None
            case Waiting():
                await self._suspend(claim, outcome)
                return None
            case NewAsk():
                await self._ask(claim, outcome)
                return None

    async def _finish(self, claim: Claim, answer: Answer) -> Following:
        """Writes a result and what follows it: the next steps, or the invocation's end."""
        match await self._completion.finish(claim, answer, lambda: self._attempts.graph(claim)):
            case InvocationEnds(whole):
                return await self._end(claim, _ending(claim, whole), answer.text)
            case InvocationContinues(due, claimed):
                await self._runtime.queue.publish(due)
                self._runtime.wakeups.notify_soon(claim.session.id)
                return claimed
            case Superseded():
                log.warning("superseded, the result is dropped", attempt=claim.attempt)
                return None

    async def _end(self, claim: Claim, ending: TransitionInput, result: str | None) -> Following:
        """Writes the end of the invocation; of the steps that become due, keeps one."""
        change, error = await ending_change(self._runtime, claim.session, ending)
        # A result that was not taken is not kept: a retry makes another.
        kept = result if error is None else claim.result
        cancelled = ending.cancelled
        if not await self._runtime.store.complete(claim, change, kept, error, cancelled=cancelled):
            log.warning("superseded, the result is dropped", attempt=claim.attempt)
            await self._forget_partial(claim)
            return None
        # Beside a step that failed others may ask for larger budgets.
        if change.withdraws_asks or (error is not None and claim.budgets is not None):
            await self._runtime.asks.withdraw(change.session_id)
        own = next((step for step in change.due if step.queue in self._queues), None)
        others = [step for step in change.due if step != own]
        partials = partial_keys(self._runtime.settings.redis_namespace, *claim.fence)
        outdated = partials if claim.makes_answer else []
        await self._runtime.queue.publish(others, wake=change.session_id, outdated=outdated)
        await wake_above(self._runtime, change)
        if error is not None and not claim.makes_answer:
            await self._runtime.cancellations.publish(claim.invocation_id)  # its other steps
            await cancel_children(self._runtime, claim.invocation_id)
        return own

    async def _forget_partial(self, claim: Claim) -> None:
        """Deletes what this attempt showed: another one has the step, or it is over."""
        if claim.makes_answer:
            key = partial_key(self._runtime.settings.redis_namespace, *claim.fence)
            await self._runtime.queue.publish([], outdated=[key])

    async def _suspend(self, claim: Claim, waiting: Waiting) -> None:
        """Lets the step wait, and looks whether what it waits for came just before that."""
        suspended = await self._runtime.store.suspend(
            claim.fence, waiting.waits_for, waiting.seconds, self._settings.invocation_seconds
        )
        if suspended:
            await wake(self._runtime, [waiting.waits_for])
        else:
            log.warning("superseded, the step does not wait", attempt=claim.attempt)

    async def _ask(self, claim: Claim, ask: NewAsk) -> None:
        """Lets the step wait for a person, and tells readers of it."""
        seconds = self._settings.invocation_seconds
        if await self._runtime.asks.open(claim.fence, ask, seconds):
            self._runtime.wakeups.notify_soon(claim.session.id)
            if claim.session.depth:
                await notify_above(self._runtime, claim.session.id)
        else:
            log.warning("superseded, nobody is asked", attempt=claim.attempt)

    async def _put_back(self, claim: Claim, again: TryAgain) -> None:
        log.info(
            "step put back",
            delay=round(again.delay, 3),
            error=again.error,
            attempt=claim.attempt,
        )
        due = await self._runtime.store.put_back(
            claim.fence, again.delay, again.error, failures=again.failures, losses=again.losses
        )
        match due:
            case DueStep():
                await self._runtime.queue.publish([due], delay=again.delay)
            case Superseded():
                log.warning("superseded, the step is not put back", attempt=claim.attempt)


def _ending(claim: Claim, answer: Answer, failure: Failed | None = None) -> TransitionInput:
    return TransitionInput(
        claim.event,
        answer.text,
        Cause.invocation(claim.invocation_id),
        finish=answer.finish,
        error=failure.error if failure else None,
        error_code=failure.code if failure else ErrorCode.INVOCATION_FAILED,
        cancelled=failure.cancels if failure else False,
        made_by=claim.fence if claim.makes_answer else None,
    )
