"""The end of an invocation: its event is sent to the session, whatever the flow makes of it."""

from structlog import get_logger

from app.db.engine import is_unavailable
from app.errors import StatewrightError
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change, Snapshot
from app.sessions.turn.transition import TransitionInput, TransitionRun

log = get_logger(__name__)


async def ending_change(runtime: Runtime, before: Snapshot, incoming: TransitionInput) -> Change:
    """What the end of an invocation does to its session; no fault of the flow is one of ours.

    A flow that refuses the result is sent the failure instead; one that refuses that too is put
    back to the state that it came from, with the error in the session: nothing is ever stuck.
    """
    try:
        return await _sent(runtime, before, incoming)
    except Exception as error:
        if is_unavailable(error):
            raise
        log.exception("the flow did not take the end of an invocation")
        failure = incoming.failed(f"The result was not taken: {_reason(error)}")
    try:
        return await _sent(runtime, before, failure)
    except Exception as error:
        if is_unavailable(error):
            raise
        log.exception("the flow did not take the failure either")
        return await _put_back(runtime, before, failure)


async def _sent(runtime: Runtime, before: Snapshot, incoming: TransitionInput) -> Change:
    flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    return await TransitionRun.of(runtime, flow, before, incoming)


async def _put_back(runtime: Runtime, before: Snapshot, failure: TransitionInput) -> Change:
    source = await runtime.store.source(before)
    return Change(
        session_id=before.id,
        org_id=before.org_id,
        version=before.version,
        state=source or before.state,
        source=before.state,
        model=before.model,
        cause=failure.cause,
        event=failure.event,
        error=failure.error,
        messages_before=before.message_count,
    )


def _reason(error: Exception) -> str:
    """What may be shown: our own errors' text; of others, which may hold anything, the kind."""
    return error.detail if isinstance(error, StatewrightError) else type(error).__name__
