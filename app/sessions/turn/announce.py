"""Publishes the steps that became due, and notifies readers of the session, after the commit."""

from app.queue.keys import partial_keys
from app.sessions.locks import HeldLock
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change
from app.sessions.store.new_rows import StepFence
from app.sessions.turn.waking import wake_above


async def announce(
    runtime: Runtime,
    change: Change,
    lock: HeldLock | None = None,
    *,
    ended: StepFence | None = None,
) -> None:
    """Notifies workers and waiting readers, best effort: the sweeper finds what is lost.

    The session's lock, if it is given, is released in the same round trip. Of a step that `ended`
    with the change, what readers were shown is deleted.
    """
    if change.new_session is not None and not change.steps:
        return  # nobody can be waiting for it yet
    unlock = lock.hand_over() if lock is not None else None
    outdated = partial_keys(runtime.settings.redis_namespace, *ended) if ended else []
    await runtime.queue.publish(
        change.due, wake=change.session_id, unlock=unlock, outdated=outdated
    )
    await wake_above(runtime, change)
