"""The requests that wait: each ends when its key does."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import asyncpg
from structlog import get_logger

from app.errors import UnauthorizedError

log = get_logger(__name__)

# Of a key `k` of a user `u`.
IS_VALID = """
  k.revoked_at IS NULL AND k.deployed AND u.deployed
  AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"""

_VALID = f"""
SELECT k.id FROM api_key k JOIN "user" u ON u.id = k.user_id
WHERE k.id = ANY($1) AND {IS_VALID}"""  # noqa: S608 - text of ours
_LOOK_SECONDS = 5.0
_UNNOTIFIED_LOOK_SECONDS = 0.7  # while changes are not notified
_PAUSE_SECONDS = 0.05  # for all changes of a moment there is one look


class KeyHolds:
    """Looks at the keys of requests that wait: when one may have changed, and now and then.

    Args:
        pool: where they are looked up.
        is_notified: whether changes are notified now.
    """

    def __init__(self, pool: asyncpg.Pool, is_notified: Callable[[], bool]) -> None:
        self._pool = pool
        self._is_notified = is_notified
        self._waiting: dict[str, set[asyncio.Timeout]] = defaultdict(set)
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def held(self, key_id: str, lasts: timedelta | None) -> AsyncIterator[None]:
        """Bounds a wait by its key.

        Args:
            key_id: the key, which is valid.
            lasts: until it expires; None: for ever.

        Raises:
            UnauthorizedError: the key is valid no more.
        """
        deadline = asyncio.timeout(None if lasts is None else lasts.total_seconds())
        try:
            async with deadline:
                self._waiting[key_id].add(deadline)
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise UnauthorizedError("The API key is valid no more.") from None
        finally:
            self._waiting[key_id].discard(deadline)
            if not self._waiting[key_id]:
                del self._waiting[key_id]

    def may_have_changed(self, key_id: str | None = None) -> None:
        """Has a key looked at soon; without an id, all."""
        if key_id is None or key_id in self._waiting:
            self._changed.set()

    async def look_for_ever(self) -> None:
        """Ends waits whose key is valid no more."""
        while True:
            seconds = _LOOK_SECONDS if self._is_notified() else _UNNOTIFIED_LOOK_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                log.warning("keys of waits not looked at", error=type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self) -> None:
        if not self._waiting:
            return
        asked = list(self._waiting)
        valid = {row["id"] for row in await self._pool.fetch(_VALID, asked)}
        now = asyncio.get_running_loop().time()
        for key_id in asked:
            for deadline in () if key_id in valid else self._waiting.get(key_id, ()):
                deadline.reschedule(now)
