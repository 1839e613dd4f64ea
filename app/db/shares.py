"""Places for lists and searches, which orgs share, and what is answered when none is free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import UnavailableError
from app.kit.concurrency.shares import Shares
from app.quotas import QuotaExceededError


class ListPlaces:
    """Places for lists and searches, given out in turns by org.

    Args:
        places: how many there are.
        each: most that one org has at once.
        waiting: most requests of one org that wait for a place.
        seconds: after which a request gives up.
    """

    def __init__(self, places: int, *, each: int, waiting: int, seconds: float) -> None:
        self._shares = Shares(places, each=each)
        self._most_waiting = waiting
        self._seconds = seconds

    @asynccontextmanager
    async def place(self, org_id: str) -> AsyncIterator[None]:
        """A place for an org, while the block lasts.

        Raises:
            QuotaExceededError: too many of its requests wait already.
            UnavailableError: none became free in time.
        """
        shares = self._shares
        if not shares.may_have(org_id) and shares.waiting(org_id) >= self._most_waiting:
            raise QuotaExceededError(
                "lists",
                f"{self._most_waiting} lists and searches of this org wait already, as many as may"
                " (quota: lists and searches at once); try again.",
                retry_after=1,
            )
        try:
            async with asyncio.timeout(self._seconds):
                await shares.take(org_id)
        except TimeoutError:
            raise UnavailableError(
                "Too many lists and searches are at work; try again.", retry_after=1
            ) from None
        try:
            yield
        finally:
            shares.give_back(org_id)
