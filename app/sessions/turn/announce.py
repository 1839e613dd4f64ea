"""After the commit: publishes the steps that became ready, and notifies the session's readers."""

from app.sessions.locks import HeldLock
from app.sessions.runtime import Runtime
from app.sessions.store.change import Change


async def announce(runtime: Runtime, change: Change, lock: HeldLock | None = None) -> None:
    """Notify workers and waiting readers, best effort: the sweeper finds what is lost.

    The session's lock, if it is given, is released in the same round trip.
    """
    if change.new_session is not None and not change.steps:
        return  # nobody can be waiting for it yet
    unlock = lock.hand_over() if lock is not None else None
    await runtime.queue.publish(change.due, wake=change.session_id, unlock=unlock)
