"""The deletion of sessions that are over, piece by piece."""

import asyncpg

from app.sessions.store.sql import expire_sql


class ExpiredSessions:
    """The sessions of one database whose time is up."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def expire(self, most: int) -> int:
        """Deletes sessions that are over and have no parts any more; how many there were."""
        return len(await self._pool.fetch(expire_sql.EXPIRE, most))

    async def expire_parts(self, most: int, *, rows: int, size: int) -> int:
        """Deletes a piece of what such sessions consist of; how many rows it had.

        Args:
            most: sessions that are looked at.
            rows: most rows of the piece.
            size: most bytes of it, but one row in any case.
        """
        while len(await self._pool.fetch(expire_sql.EXPIRE_CHILDREN, most)):
            pass
        for statement in expire_sql.EXPIRE_PARTS:
            if deleted := await self._pool.fetch(statement, most, rows, size):
                return len(deleted)
        return 0
