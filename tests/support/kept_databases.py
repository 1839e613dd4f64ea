"""Connections to the tests' databases that outlive a test.

To connect, and to have the server plan the same statements anew, costs half of what a test does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, cast

from sqlalchemy import QueuePool

from app.db.engine import Database
from app.settings.http import ListSettings
from tests.support.services import KEPT, Clones

_SETTLE_SECONDS = 2.0


class KeptDatabases:
    """Gives whoever opens a test's database the one that is open already.

    Whoever asks for something else gets a database of its own, as it would without this: other
    parameters in the URL, other limits of lists, another event loop.
    """

    def __init__(self, clones: Clones, stack: AsyncExitStack) -> None:
        self._clones = clones
        self._stack = stack
        self._loop = asyncio.get_running_loop()
        self._open_anew = Database.open
        self._databases: dict[tuple[str, int], Database] = {}

    @asynccontextmanager
    async def open(
        self, database_url: str, *, pool_size: int = 8, lists: ListSettings | None = None
    ) -> AsyncIterator[Database]:
        if self._keeps(database_url, lists):
            yield await self._kept(database_url, pool_size)
            return
        async with self._open_anew(database_url, pool_size=pool_size, lists=lists) as database:
            yield database

    async def settle(self) -> None:
        """Waits until nobody uses a connection: who was cancelled cancels a statement first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while any(map(_is_used, self._databases.values())):  # noqa: ASYNC110 - nobody says
                    await asyncio.sleep(0.005)

    def _keeps(self, database_url: str, lists: ListSettings | None) -> bool:
        return (
            self._clones.lends(database_url)
            and lists in (None, ListSettings())
            and asyncio.get_running_loop() is self._loop
        )

    async def _kept(self, database_url: str, pool_size: int) -> Database:
        key = database_url, pool_size
        if key not in self._databases:
            named = f"{database_url}?application_name={KEPT}"
            opening: Any = self._open_anew(named, pool_size=pool_size)
            self._databases[key] = await self._stack.enter_async_context(opening)
        return self._databases[key]


def _is_used(database: Database) -> bool:
    engine = cast(QueuePool, database.engine.pool)
    return bool(engine.checkedout()) or database.pool.get_size() > database.pool.get_idle_size()
