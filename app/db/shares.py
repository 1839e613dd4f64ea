"""Places that orgs share: no org has all of them, and none waits behind the crowd of another."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from app.errors import StatewrightError, UnavailableError


class ListQuotaError(StatewrightError):
    """An org has more lists and searches waiting than it may."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "quota-exceeded"
    title: ClassVar[str] = "Quota exceeded"


class Shares:
    """Places for lists and searches, given out in turns by org.

    Args:
        places: how many there are.
        each: most that one org has at once.
        waiting: most requests of one org that wait for a place.
        seconds: after which a request gives up.
    """

    def __init__(self, places: int, *, each: int, waiting: int, seconds: float) -> None:
        self._free = places
        self._each = min(each, places)
        self._most_waiting = waiting
        self._seconds = seconds
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    @asynccontextmanager
    async def place(self, org_id: str) -> AsyncIterator[None]:
        """A place for an org, while the block lasts.

        Raises:
            ListQuotaError: too many of its requests wait already.
            UnavailableError: none became free in time.
        """
        await self._take(org_id)
        try:
            yield
        finally:
            self._give_back(org_id)

    async def _take(self, org_id: str) -> None:
        if self._may_have(org_id):
            self._grant(org_id)
            return
        queue = self._waiting.setdefault(org_id, deque())
        if len(queue) >= self._most_waiting:
            raise ListQuotaError(
                f"{self._most_waiting} lists and searches of this org wait already, as many as may"
                " (quota: lists and searches at once); try again.",
                extra={"quota": "lists", "limit": self._most_waiting},
                retry_after=1,
            )
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except TimeoutError:
            self._leave(org_id, turn)
            raise UnavailableError(
                "Too many lists and searches are at work; try again.", retry_after=1
            ) from None
        except asyncio.CancelledError:
            self._leave(org_id, turn)
            raise

    def _may_have(self, org_id: str) -> bool:
        return self._free > 0 and self._held[org_id] < self._each

    def _grant(self, org_id: str) -> None:
        self._free -= 1
        self._held[org_id] += 1

    def _leave(self, org_id: str, turn: "asyncio.Future[None]") -> None:
        """Takes back a wait that is over, or the place that it was given just then."""
        if not turn.cancelled():
            self._give_back(org_id)
            return
        queue = self._waiting[org_id]
        queue.remove(turn)
        if not queue:
            del self._waiting[org_id]

    def _give_back(self, org_id: str) -> None:
        self._free += 1
        self._held[org_id] -= 1
        if not self._held[org_id]:
            del self._held[org_id]
        self._next_turn()

    def _next_turn(self) -> None:
        """Gives the free place to the org whose turn it is, of those that may have one more."""
        for org_id in list(self._waiting):
            queue = self._waiting[org_id]
            if self._may_have(org_id):
                turn = next((one for one in queue if not one.done()), None)
                if turn is None:
                    continue
                queue.remove(turn)
                self._grant(org_id)
                turn.set_result(None)
                del self._waiting[org_id]
                if queue:
                    self._waiting[org_id] = queue  # behind the others
                return
