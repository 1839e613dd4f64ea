"""Wakes steps that wait without a worker, once what they wait for has come."""

from collections.abc import Sequence

from app.sessions.runtime import Runtime


async def wake(runtime: Runtime, waited_for: Sequence[str]) -> None:
    """Queues the steps for which what they wait for has come; call it after that was committed.

    Args:
        runtime: of the process.
        waited_for: ids of sessions and actions, whether or not a step waits for them.
    """
    await runtime.queue.publish(await runtime.store.wake(waited_for))
