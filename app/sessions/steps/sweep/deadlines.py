"""Ends invocations that have run for longer than they may, such as on a queue nobody serves."""

from structlog import get_logger

from app.errors import NotFoundError
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.store import OverdueInvocation
from app.sessions.turn.ending import close_invocation
from app.sessions.turn.transition_input import TransitionInput

log = get_logger(__name__)


async def end_overdue(runtime: Runtime) -> None:
    """Fails the invocations whose time is up; their sessions take events again."""
    for overdue in await runtime.store.overdue():
        try:
            await _end(runtime, overdue)
        except NotFoundError:  # the session is gone, and its invocation with it
            continue


async def _end(runtime: Runtime, overdue: OverdueInvocation) -> None:
    before = await runtime.store.load(overdue.org_id, overdue.session_id)
    if before.invocation_id != overdue.id:
        return
    seconds = runtime.settings.step.invocation_seconds
    failure = TransitionInput(
        "",
        "",
        Cause.invocation(overdue.id),
        error=f"Not done within {seconds:g} seconds. Is there a worker for each of its queues?",
    )
    if await close_invocation(runtime, before, overdue.id, failure):
        log.warning("invocation given up", session_id=before.id, org_id=before.org_id)
