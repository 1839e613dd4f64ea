"""The end of an invocation: its event is sent to the session, whatever the flow makes of it."""

from contextlib import suppress
from dataclasses import replace

from structlog import get_logger

from app.access.caller import Caller
from app.db.failures import is_database_failure
from app.errors import (
    EventNotAcceptedError,
    NotFoundError,
    PublicError,
    RendererLostError,
    SessionBusyError,
    public_text,
)
from app.flows.flow import Flow
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.change import Change
from app.sessions.store.new_rows import ClientEvent
from app.sessions.store.snapshot import Snapshot
from app.sessions.store.step_store import Wait
from app.sessions.turn.admission import TRIES, EventRequest, admit
from app.sessions.turn.announce import announce
from app.sessions.turn.run import transition_run
from app.sessions.turn.transition_input import TransitionInput, failure_message

log = get_logger(__name__)


class TurnTooLongError(PublicError):
    """One event led to invocation after invocation, and none of them to a client."""


async def ending_change(
    runtime: Runtime, before: Snapshot, ending: TransitionInput
) -> tuple[Change, str | None]:
    """What the end of an invocation does to its session, and why it failed, if it did.

    Whatever the flow's code does: one that refuses the result, or would go on for ever, is sent
    the failure instead; one that refuses that too is put back to the last state in which somebody
    can act, with the error in the session. Nothing is ever stuck.

    Raises:
        NotFoundError: this process does not have the flow.
    """
    flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    change, error = await _ending_change(runtime, flow, before, ending)
    change.withdraws_asks = flow.asks(before.state)
    return change, error


async def _ending_change(
    runtime: Runtime, flow: Flow, before: Snapshot, ending: TransitionInput
) -> tuple[Change, str | None]:
    if ending.error is None:
        try:
            run = await transition_run(
                runtime, flow, before, ending, lambda run: run.send(ending.event)
            )
            if run.change.invocation is not None:
                await _check_length(runtime, before)
            return await run.pack(), None
        except Exception as error:
            if is_infrastructure(error):
                raise
            log.exception("the flow did not take the end of an invocation")
            ending = ending.failed(f"The result was not taken: {public_text(error)}")
    elif before.invocation_id is not None and flow.calls_tools(before.state):
        # What was done stays done: whoever goes on must know of it.
        done = await runtime.store.call_results(before.invocation_id)
        ending = replace(ending, results=f"[{','.join(done)}]")
    try:
        # Without an error in the session nothing failed before in this turn.
        left = await runtime.store.failed_states(before.id) if before.task_error else set()
        run = await transition_run(runtime, flow, before, ending, lambda run: run.fail(left))
        return await run.pack(), ending.error
    except Exception as error:
        if is_infrastructure(error):
            raise
        log.exception("the flow did not take the failure either")
        past_states = await runtime.store.past_states(before.id)
        return _put_back(flow, before, ending, past_states), ending.error


async def close_invocation(
    runtime: Runtime,
    before: Snapshot,
    invocation_id: str,
    failure: TransitionInput,
    client_event: ClientEvent | None = None,
) -> bool:
    """Ends an invocation from outside, as cancel and a deadline do; False: it was over already.

    `client_event` is the row that is kept of the request, where a client asked for it.
    """
    try:
        change, _ = await ending_change(runtime, before, failure)
    except NotFoundError:  # the flow is not here: nobody can say more than where a client acted
        change = _failure(before, failure)
        acted = await runtime.store.last_acted_state(before.id)
        change.put_into(acted or before.state, None)
    change.client_event = client_event
    error = failure.error or ""
    if not await runtime.store.close(invocation_id, change, error, cancelled=failure.cancelled):
        return False
    await runtime.asks.withdraw(before.id)  # of templates that ask, and of budgets that are used up
    await runtime.cancellations.publish(invocation_id)
    await announce(runtime, change, ended=failure.made_by)
    await cancel_children(runtime, invocation_id)
    return True


async def cancel_children(runtime: Runtime, invocation_id: str) -> None:
    """Cancels the sessions for which steps waited when their invocation ended, and those below."""
    for wait in await runtime.store.ended_waits(invocation_id):
        await end_wait(runtime, wait)


async def end_wait(runtime: Runtime, wait: Wait) -> None:
    """Cancels what a step waited for when it ended; what fails now, the sweeper tries again."""
    try:
        await cancel_child(runtime, wait.org_id, wait.waits_for)
    except PublicError as error:
        log.warning("not cancelled yet", session_id=wait.waits_for, error=public_text(error))
        return
    await runtime.store.forget_wait(wait.waits_for)


async def cancel_child(runtime: Runtime, org_id: str, session_id: str) -> None:
    """Ends what runs in a session, or waits for people, that nothing waits for any more.

    Raises:
        SessionBusyError: others change the session all the time.
    """
    for _ in range(TRIES):
        child = await runtime.store.child(org_id, session_id)
        if child is None or not child.awaited:  # at rest, or gone; or it is no session, but an ask
            return
        with suppress(NotFoundError, EventNotAcceptedError):  # it went on meanwhile
            if await _cancel(runtime, await runtime.store.load(org_id, session_id)):
                return
    raise SessionBusyError("The session changes all the time; try again.", retry_after=1)


async def _cancel(runtime: Runtime, session: Snapshot) -> bool:
    """Ends the invocation of a session, or its turn that waits; False: it was over already."""
    if session.invocation_id is not None:
        failure = TransitionInput(
            "cancel",
            "",
            Cause.invocation(session.invocation_id),
            error="Cancelled: what it was started for has ended.",
            cancelled=True,
        )
        return await close_invocation(runtime, session, session.invocation_id, failure)
    await admit(
        runtime,
        Caller.owner(session.org_id, session.created_by),
        session.id,
        EventRequest("cancel", ""),
        allow=lambda _session: None,
        answer=lambda before, _flow, _change: {"session_id": before.id},
    )
    return True


async def free_stranded(runtime: Runtime, flow: Flow, before: Snapshot) -> bool:
    """Puts a session that waits for no invocation into a state in which somebody can act.

    False: it was changed meanwhile, and is to be looked at again.
    """
    failure = TransitionInput(
        "stranded",
        "",
        Cause.stranded(before.version),
        error=f"In state {before.state!r} no invocation was running. This is a fault of the "
        "service; the session was put back.",
    )
    past_states = await runtime.store.past_states(before.id)
    change = _put_back(flow, before, failure, past_states)
    if not await runtime.store.admit(change):
        return False
    await announce(runtime, change)
    return True


async def _check_length(runtime: Runtime, before: Snapshot) -> None:
    """Raises `TurnTooLongError` where the turn has had all the invocations that it may have.

    Each of them but the one that ends now made a version. What a failure leads to is not asked
    about: it is bounded by the states that failures left.
    """
    most = runtime.settings.session.max_invocations_per_turn
    if before.version < most:  # then the session has not had so many in all
        return
    if before.version - await runtime.store.last_event_version(before.id) + 1 >= most:
        raise TurnTooLongError(f"One event may lead to {most} invocations, and it has.")


def is_infrastructure(error: Exception) -> bool:
    """Whether the database or a lost renderer failed, and not what was asked of it: try again."""
    return isinstance(error, RendererLostError) or is_database_failure(error)


def _put_back(
    flow: Flow, before: Snapshot, failure: TransitionInput, past_states: list[str]
) -> Change:
    """The session in the last state in which somebody can act, with its model as it was."""
    change = _failure(before, failure)
    resting = (state for state in past_states if flow.rests(state))
    change.put_into(next(resting, None) or flow.resting_state() or before.state, flow)
    return change


def _failure(before: Snapshot, failure: TransitionInput) -> Change:
    change = Change.of(before, cause=failure.cause, event=failure.event, error=failure.error)
    change.model = before.model
    change.messages.append(failure_message(failure))
    return change
