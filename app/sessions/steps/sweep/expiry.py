"""Ends actions that nobody resolved in time; the turns that waited for them go on."""

import orjson
from structlog import get_logger

from app.errors import ConflictError, DefinitionMismatchError, NotFoundError
from app.flows.machine import RESOLVE_EVENT
from app.sessions.runtime import Runtime
from app.sessions.store.cause import Cause
from app.sessions.store.store import LateAction
from app.sessions.turn.announce import announce
from app.sessions.turn.run import transition_run
from app.sessions.turn.transition_input import TransitionInput

log = get_logger(__name__)


async def expire_actions(runtime: Runtime) -> None:
    """Ends the actions whose time is up, each once: the action is the cause of the transition."""
    for late in await runtime.store.late_actions():
        try:
            await _expire(runtime, late)
        except (NotFoundError, DefinitionMismatchError):  # gone, or not this worker's to end
            continue
    await _expire_asks(runtime)


async def _expire_asks(runtime: Runtime) -> None:
    """Ends asks of steps, each once; what follows is what the step's next attempt says."""
    while expired := await runtime.asks.expire():
        for due, session_id in expired:
            await runtime.queue.publish([due], wake=session_id)


async def _expire(runtime: Runtime, late: LateAction) -> None:
    before = await runtime.store.load(late.org_id, late.session_id)
    if before.invocation_id is not None:
        return
    flow = await runtime.catalog.get(before.org_id, before.flow, before.flow_revision)
    ended = orjson.dumps({"action_id": late.id}).decode()
    transition_input = TransitionInput(RESOLVE_EVENT, ended, Cause.expiry(late.id))
    try:
        run = await transition_run(
            runtime, flow, before, transition_input, lambda run: run.send(RESOLVE_EVENT)
        )
    except ConflictError:  # the session does not wait for it any more: only a defect leaves it open
        log.exception("an action was open that nothing waited for", session_id=before.id)
        await runtime.store.expire_action(late.id)
        return
    change = await run.pack()
    if await runtime.store.admit(change):
        await announce(runtime, change)
