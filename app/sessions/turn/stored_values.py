"""Loads the values of a secondary store that something reads, and only those."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from app.sessions.runtime import Runtime
from app.sessions.store.snapshot import Snapshot

T = TypeVar("T")


async def with_stored_values(
    runtime: Runtime, session: Snapshot, run: Callable[[Snapshot], Awaitable[T]]
) -> T:
    """What a function gives of a session; it is run again where it reads what is not loaded.

    A hook that reads a value cannot wait for it. So what it reads is noted, loaded, and the whole
    is run anew: with the values that were read, and if that is not all, with all there are. The
    function must not touch the world.
    """
    if not session.stored_keys:
        return await run(session)
    while True:
        session = replace(session, missed=set())
        try:
            result = await run(session)
        except Exception:
            if not session.missed:
                raise
        else:
            if not session.missed:
                return result
        missing = set(session.stored_keys or ()) - session.loaded.keys()
        asked = missing if session.loaded else missing & session.missed
        session = session.with_values(asked, await runtime.store.values(session.id, asked))
