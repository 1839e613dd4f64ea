"""Places that orgs share: no org has all of them, and none waits behind the crowd of another.

Who asks for one far below where the caller is known asks for the org that its task works for.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from itertools import count

_tenant: ContextVar[str] = ContextVar("tenant", default="")


def work_for(org_id: str) -> None:
    """Notes the org for the rest of this task, and for the tasks that it starts."""
    _tenant.set(org_id)


def tenant() -> str:
    """The id of the org that was noted; empty for the service's own work."""
    return _tenant.get()


class Shares:
    """Places that are given out in turns by org, and within an org in the order of asking.

    Args:
        places: how many there are.
        each: most that one org has at once.
    """

    def __init__(self, places: int, *, each: int) -> None:
        self._free = places
        self._each = min(each, places)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns = count(1)
        self._last_turn: dict[str, int] = {}  # of each org that holds a place, or waits

    def may_have(self, org_id: str) -> bool:
        """Whether the org would get a place at once."""
        return self._free > 0 and self._held[org_id] < self._each

    def waiting(self, org_id: str) -> int:
        """How many of the org wait for a place."""
        return len(self._waiting.get(org_id, ()))

    @asynccontextmanager
    async def place(self, org_id: str) -> AsyncIterator[None]:
        """A place for an org, while the block lasts."""
        await self.take(org_id)
        try:
            yield
        finally:
            self.give_back(org_id)

    async def take(self, org_id: str) -> None:
        """Waits for a place, which is to be given back."""
        if self.may_have(org_id):
            self._grant(org_id)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(org_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(org_id, turn)
            raise

    def give_back(self, org_id: str) -> None:
        """Lets the next have a place that was taken."""
        self._free += 1
        self._held[org_id] -= 1
        self._forget(org_id)
        self._next_turn()

    def _grant(self, org_id: str) -> None:
        self._free -= 1
        self._held[org_id] += 1
        self._last_turn[org_id] = next(self._turns)

    def _forget(self, org_id: str) -> None:
        if not self._held[org_id]:
            del self._held[org_id]
            if org_id not in self._waiting:
                self._last_turn.pop(org_id, None)

    def _leave(self, org_id: str, turn: "asyncio.Future[None]") -> None:
        """Takes back a wait that is over, or the place that it was given just then."""
        if not turn.cancelled():
            self.give_back(org_id)
            return
        queue = self._waiting[org_id]
        queue.remove(turn)
        if not queue:
            del self._waiting[org_id]
            self._forget(org_id)

    def _next_turn(self) -> None:
        """Gives the free place to the org that had none for the longest, of those that may."""
        for org_id in sorted(self._waiting, key=lambda org_id: self._last_turn.get(org_id, 0)):
            queue = self._waiting[org_id]
            turn = next((one for one in queue if not one.done()), None)
            if turn is None or not self.may_have(org_id):
                continue
            queue.remove(turn)
            if not queue:
                del self._waiting[org_id]
            self._grant(org_id)
            turn.set_result(None)
            return
