"""A cache of valid API keys, which forgets them when PostgreSQL notifies of a change."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg

from app.access.key_holds import IS_VALID, KeyHolds
from app.db.listen import listen
from app.errors import UnauthorizedError
from app.kit.concurrency.tasks import end_tasks

# The channel on which the trigger of table `api_key` says which key changed or was deleted.
CHANNEL = "statewright_api_key"
_KEEP_SECONDS = 5.0

_FIND = f"""
SELECT k.digest, k.org_id, k.user_id, u.email, k.scopes, o.quotas, o.used_up,
       k.expires_at - clock_timestamp() AS lasts
FROM api_key k JOIN "user" u ON u.id = k.user_id JOIN org o ON o.id = k.org_id
WHERE k.id = $1 AND {IS_VALID}"""  # noqa: S608 - text of ours


class KeyCache:
    """Finds API keys by id; remembers them only while it is notified of their changes.

    A revoked key is forgotten when its revocation is committed. Keys that expire are asked for
    each time, since expiry goes by the database's clock. Should the connection that listens for
    changes hang, everything is forgotten after `keep` seconds all the same.
    """

    def __init__(self, pool: asyncpg.Pool, keep: float = _KEEP_SECONDS) -> None:
        self._pool = pool
        self._keep = keep
        self._rows: dict[str, asyncpg.Record] | None = None
        self._forget_at = 0.0
        self._changes = 0
        self._holds = KeyHolds(pool, lambda: self._rows is not None)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, pool: asyncpg.Pool, database_url: str, keep: float = _KEEP_SECONDS
    ) -> AsyncIterator[Self]:
        """A cache that listens for changes while the block lasts."""
        cache = cls(pool, keep)
        listening = listen(
            database_url, CHANNEL, began=cache._began, heard=cache._heard, ended=cache._ended
        )
        tasks = [asyncio.create_task(work) for work in (listening, cache._holds.look_for_ever())]
        try:
            yield cache
        finally:
            await end_tasks(*tasks)

    async def find(self, key_id: str) -> asyncpg.Record | None:
        """The row of a key that is valid now."""
        row = self._remembered(key_id)
        if row is not None:
            return row
        changes = self._changes
        row = await self._pool.fetchrow(_FIND, key_id)
        # Not if anything changed meanwhile: what was read may be what was before.
        if self._rows is not None and changes == self._changes and row and row["lasts"] is None:
            self._rows[key_id] = row
        return row

    @asynccontextmanager
    async def held(self, key_id: str) -> AsyncIterator[None]:
        """Bounds a wait by its key.

        Raises:
            UnauthorizedError: the key is valid no more, from the start or while it lasts.
        """
        lasts = None
        if self._rows is not None:  # else it is looked at all the time
            row = await self.find(key_id)
            if row is None:
                raise UnauthorizedError("The API key is valid no more.")
            lasts = row["lasts"]
        async with self._holds.held(key_id, lasts):
            yield

    def forget(self) -> None:
        """Forgets all keys: one may have been changed here, and its notification is on its way."""
        self._changes += 1
        if self._rows is not None:
            self._rows.clear()
        self._holds.may_have_changed()

    def _remembered(self, key_id: str) -> asyncpg.Record | None:
        if self._rows is None:
            return None
        if time.monotonic() >= self._forget_at:
            self._rows.clear()
            self._forget_at = time.monotonic() + self._keep
        return self._rows.get(key_id)

    def _began(self) -> None:
        self._changes += 1
        self._rows = {}
        self._holds.may_have_changed()

    def _heard(self, key_id: str) -> None:
        self._changes += 1
        if self._rows is not None:
            self._rows.pop(key_id, None)
        self._holds.may_have_changed(key_id)

    def _ended(self) -> None:
        self._changes += 1
        self._rows = None
