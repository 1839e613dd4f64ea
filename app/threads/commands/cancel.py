"""Cancelling what runs in a thread."""

from dataclasses import replace

from app.access.caller import Caller
from app.errors import EventNotAcceptedError, SessionBusyError
from app.flows.library.chat_machine import WAITING_FOR_RESULTS
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.new_rows import ClientEvent, StepFence
from app.sessions.store.snapshot import RunningInvocation
from app.sessions.turn.admission import TRIES, EventRequest, admit
from app.sessions.turn.ending import close_invocation
from app.sessions.turn.transition_input import TransitionInput
from app.sessions.visibility import check_usable
from app.threads.dialogue import DialogueReader
from app.threads.record import changed_thread_fields

_CANCEL = EventRequest("cancel", "")


async def cancel_thread(
    runtime: Runtime, caller: Caller, thread_id: str, idempotency_key: str | None = None
) -> None:
    """Stops the answer that is being generated, keeps what there is; without one, does nothing.

    One key stops one answer: never another one that has begun since.

    Raises:
        NotFoundError: there is no such thread.
        ForbiddenError: it is somebody else's.
        SessionBusyError: others change the session all the time.
    """
    for _ in range(TRIES):
        view = await runtime.store.view(caller.org_id, thread_id)
        check_usable(caller, view.session)
        running = view.running
        if running is None:
            if view.session.state in WAITING_FOR_RESULTS:
                await _cancel_waiting(runtime, caller, thread_id, idempotency_key)
            return
        before, previous = await runtime.store.load_for_event(
            caller.org_id, thread_id, idempotency_key
        )
        if previous is not None:
            previous.for_request(_CANCEL.hash)
            return
        if before.invocation_id != running.invocation_id:
            continue
        failure = _failure(running, await DialogueReader(runtime, view).partial_text())
        event = None if idempotency_key is None else _cancel_event(caller, idempotency_key)
        if await close_invocation(runtime, before, running.invocation_id, failure, event):
            return
    raise SessionBusyError("The session changes all the time; try again.", retry_after=1)


def _failure(running: RunningInvocation, text: str) -> TransitionInput:
    """The end of a cancelled invocation, with the text that it has generated."""
    return TransitionInput(
        running.event,
        "",
        Cause.invocation(running.invocation_id),
        content=[{"content_type": "text", "text": text}] if text else None,
        error="Cancelled by the user.",
        cancelled=True,
        made_by=StepFence(running.step_id, running.attempt) if running.step_id else None,
    )


def _cancel_event(caller: Caller, idempotency_key: str) -> ClientEvent:
    return ClientEvent(
        id=Cause.new_event().id,
        name="cancel",
        input="",
        created_by=caller.user_id,
        request_hash=_CANCEL.hash.hex(),
        idempotency_key=idempotency_key,
        answer={},
    )


async def _cancel_waiting(
    runtime: Runtime, caller: Caller, thread_id: str, idempotency_key: str | None
) -> None:
    """Ends a turn in which nothing runs: it waits for results that are not to come any more."""
    try:
        await admit(
            runtime,
            caller,
            thread_id,
            replace(_CANCEL, idempotency_key=idempotency_key),
            allow=lambda session: check_usable(caller, session),
            answer=lambda before, _flow, change: changed_thread_fields(before, change),
        )
    except EventNotAcceptedError:  # they came meanwhile
        return
