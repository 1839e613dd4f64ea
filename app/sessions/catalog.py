"""The flows that sessions run: those of the product, of the user's package, and of manifests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from app.db.engine import Database
from app.errors import BadRequestError, FieldError, NotFoundError
from app.flows.flow import Flow
from app.flows.library import code_flows


class FlowCatalog:
    """Finds flows by org, key and revision."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._in_code = code_flows()

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> AsyncIterator[Self]:
        """The catalog of a process; flows in code are loaded and checked here."""
        yield cls(database)

    async def check(self, org_id: str, key: str) -> None:
        """Raise `BadRequestError` where an agent's template names a flow that is not there."""
        try:
            await self.get(org_id, key)
        except NotFoundError as error:
            fault: FieldError = {"loc": ["request_template", "flow"], "msg": error.detail}
            raise BadRequestError(error.detail, errors=[fault]) from None

    async def get(self, org_id: str, key: str, revision: int | None = None) -> Flow:
        """A flow at a revision; the newest if none is given.

        Raises:
            NotFoundError: the org has no such flow.
        """
        flow = self._in_code.get(key)
        if flow is None:
            raise NotFoundError(f"There is no flow {key!r}.")
        return flow

    async def all(self, org_id: str) -> list[Flow]:
        """The flows that an org can run, each at its newest revision, by key."""
        return sorted(self._in_code.values(), key=lambda flow: flow.key)
