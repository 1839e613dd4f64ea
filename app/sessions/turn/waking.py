"""Wakes what waits for a session: steps without a worker, and readers of the sessions above."""

from collections.abc import Sequence

from app.sessions.runtime import Runtime
from app.sessions.store.change import Change


async def wake(runtime: Runtime, waited_for: Sequence[str]) -> None:
    """Queues the steps for which what they wait for has come; call it after that was committed.

    Args:
        runtime: of the process.
        waited_for: ids of sessions and actions, whether or not a step waits for them.
    """
    await runtime.queue.publish(await runtime.store.wake(waited_for))


async def wake_above(runtime: Runtime, change: Change) -> None:
    """Wakes the step that waits for a session that was changed, if that is what it waits for.

    Readers of the sessions above are shown the actions of this one.
    """
    if change.parent_session_id is None:
        return
    if change.actions:
        await notify_above(runtime, change.session_id)
    if change.invocation is None:
        await wake(runtime, [change.session_id])


async def notify_above(runtime: Runtime, session_id: str) -> None:
    """Wakes the readers of the sessions by whose steps a session was started."""
    for above in await runtime.store.above(session_id):
        runtime.wakeups.notify_soon(above)
