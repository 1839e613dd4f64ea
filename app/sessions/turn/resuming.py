"""Resuming a failed invocation: from the steps that failed, with the results that are there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Boolean, ColumnElement, literal_column

from app.access.caller import Caller
from app.errors import ConflictError, DefinitionMismatchError, NotFoundError
from app.flows.flow import Flow
from app.idempotency.request import request_hash
from app.kit.concurrency.off_loop import off_loop
from app.sessions.locks import HeldLock
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.change import Change
from app.sessions.store.new_rows import ClientEvent, NewInvocation
from app.sessions.store.outcome import Resumed, Superseded
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.sql import read_sql
from app.sessions.store.store import FailedInvocation
from app.sessions.turn.admission import change_once

RETRY_EVENT = "retry"
_MOST_PATHS = 10  # that an error lists


class StepNotFailedError(ConflictError):
    """The step that a retry names is not one that has to be done again."""

    code = "step-not-failed"
    title = "Step did not fail"


class NothingToRetryError(ConflictError):
    """The session's last transition was not the end of a failed invocation."""

    code = "nothing-to-retry"
    title = "Nothing to retry"


def last_turn_failed() -> ColumnElement[bool]:
    """The condition that a session's last transition is the end of a failed invocation."""
    return literal_column(read_sql.LAST_TURN_FAILED, Boolean)


async def check_retry(runtime: Runtime, caller: Caller, session_id: str, step: str | None) -> None:
    """Raises what `retry_invocation` would raise now of a session that the caller may use."""
    await _failed(runtime, await runtime.store.load(caller.org_id, session_id), step)


async def retry_invocation(
    runtime: Runtime,
    caller: Caller,
    session_id: str,
    *,
    step: str | None,
    idempotency_key: str | None,
    allow: Callable[[Snapshot], None],
    answer: Callable[[Snapshot, Change], dict[str, Any]],
) -> dict[str, Any]:
    """Lets the invocation that failed last go on; its session is as it was before the failure.

    Args:
        runtime: of the process.
        caller: who wants it.
        session_id: whose invocation failed.
        step: path of the step that must be one of those that are done again; None for any.
        idempotency_key: the same key is answered the same, and retried once.
        allow: raises where the caller may not send to the session.
        answer: makes what the client gets; it is kept with the event.

    Raises:
        NotFoundError: there is no such session in the caller's org.
        NothingToRetryError: no invocation failed last, or the session has moved on since.
        StepNotFailedError: the step is not one of those that the invocation did not finish.
        SessionBusyError: others change the session all the time.
    """
    hash_ = request_hash(RETRY_EVENT, *([] if step is None else [step]))

    async def write(before: Snapshot, _lock: HeldLock | None) -> dict[str, Any] | Superseded:
        failed = await _failed(runtime, before, step)
        change = await _change(runtime, before, failed)
        response = answer(before, change)
        change.client_event = ClientEvent(
            change.cause.id,
            RETRY_EVENT,
            "",
            caller.user_id,
            hash_.hex(),
            idempotency_key,
            response,
        )
        match await runtime.store.resume(failed, change):
            case Superseded() as superseded:
                return superseded
            case Resumed(due):
                await runtime.queue.publish(due, wake=session_id)
                return response

    return await change_once(
        runtime, caller, session_id, idempotency_key, hash_, allow=allow, write=write
    )


async def _failed(runtime: Runtime, before: Snapshot, step: str | None) -> FailedInvocation:
    failed = await runtime.store.failed_invocation(before)
    if failed is None:
        raise NothingToRetryError("The session's last turn did not fail, or it has moved on.")
    if step is not None:
        unfinished = await runtime.store.unfinished_steps(failed.id)
        if step not in unfinished:
            paths = ", ".join(repr(path) for path in unfinished[:_MOST_PATHS])
            raise StepNotFailedError(
                f"Step {step[:200]!r} is not one that failed; what is left to do: {paths}."
            )
    return failed


async def _change(runtime: Runtime, before: Snapshot, failed: FailedInvocation) -> Change:
    """The session in the state in which the invocation ran, with a new one in place of it."""
    change = Change.of(before, cause=Cause.new_event(), event=RETRY_EVENT, error=None)
    flow = await _flow(runtime, before)
    change.put_into(failed.state, flow)
    change.model = await _model(runtime, before, failed, flow)
    change.invocation = NewInvocation(
        failed.state,
        failed.event,
        failed.input,
        runtime.settings.step.invocation_seconds,
        failed.flow_fingerprint,  # its steps are the failed ones, planned by the code of then
    )
    return change


async def _flow(runtime: Runtime, before: Snapshot) -> Flow | None:
    """The session's flow, where this process has it."""
    try:
        return await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    except (NotFoundError, DefinitionMismatchError):
        return None


async def _model(
    runtime: Runtime, before: Snapshot, failed: FailedInvocation, flow: Flow | None
) -> bytes:
    """The session's model as it was before the failure, but for what the failure ended for good."""
    if flow is None:  # its workers have it
        return failed.model
    session = replace(before, state=failed.state, model=failed.model)

    def resumed() -> bytes:
        model = session.load_model(flow)
        if not model.resume():
            return failed.model
        return model.serialize(compression=runtime.settings.session.compression)

    try:
        return await off_loop(resumed, heavy=session.is_heavy)
    except DefinitionMismatchError:
        return failed.model
