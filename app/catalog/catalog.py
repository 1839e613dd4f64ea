"""The flows that sessions run: those of the product, of the user's package, and of manifests."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from structlog import get_logger

from app.db.engine import Database
from app.errors import BadRequestError, DefinitionMismatchError, FieldError, NotFoundError
from app.flows.flow import Flow
from app.flows.library import code_flows
from app.flows.manifest.compile import compile_flow
from app.flows.rendering.sandbox import SandboxRenderer

log = get_logger(__name__)

_MAX_COMPILED = 512

_NEWEST = """
SELECT CASE WHEN NOT deleted THEN revision END FROM flow_revision
WHERE org_id = $1 AND key = $2 ORDER BY revision DESC LIMIT 1"""
_ONE = """
SELECT spec, description FROM flow_revision WHERE org_id = $1 AND key = $2 AND revision = $3"""
_ALL = """
SELECT key, revision FROM (
  SELECT DISTINCT ON (key) key, revision, deleted FROM flow_revision
  WHERE org_id = $1 ORDER BY key, revision DESC
) newest WHERE NOT deleted"""


class FlowCatalog:
    """Finds flows by org, key and revision; those of manifests are compiled once a process.

    Args:
        renderer: renders the templates of manifests.
        package: the user's package with flows in code.
    """

    def __init__(
        self, database: Database, renderer: SandboxRenderer, package: str | None = None
    ) -> None:
        self._database = database
        self._renderer = renderer
        self._in_code = code_flows(package)
        self._compiled: OrderedDict[tuple[str, str, int], Flow] = OrderedDict()

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, package: str | None = None) -> AsyncIterator[Self]:
        """The catalog of a process; flows in code, also those of `package`, are checked here."""
        async with SandboxRenderer() as renderer:
            yield cls(database, renderer, package)

    @property
    def keys_in_code(self) -> frozenset[str]:
        """The keys that no manifest may take."""
        return frozenset(self._in_code)

    @property
    def fingerprints(self) -> frozenset[str]:
        """What tells the flows in code of this process from those of another release."""
        return frozenset(filter(None, (flow.fingerprint for flow in self._in_code.values())))

    async def check(self, org_id: str, key: str) -> None:
        """Raises `BadRequestError` where an agent's template names a flow that is not there."""
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
        if (flow := self._in_code.get(key)) is not None:
            return flow
        if revision is None:
            revision = await self._database.pool.fetchval(_NEWEST, org_id, key)
        if revision is None:
            raise _missing(key)
        return await self._manifest(org_id, key, revision)

    async def all(self, org_id: str) -> list[Flow]:
        """The flows that an org can run, each at its newest revision, by key.

        One that was saved by an older release and does not compile any more is left out.
        """
        flows = list(self._in_code.values())
        for row in await self._database.pool.fetch(_ALL, org_id):
            try:
                flows.append(await self._manifest(org_id, row["key"], row["revision"]))
            except DefinitionMismatchError as error:
                log.warning("flow does not compile", flow=row["key"], error=error.detail)
        return sorted(flows, key=lambda flow: flow.key)

    async def _manifest(self, org_id: str, key: str, revision: int) -> Flow:
        place = (org_id, key, revision)
        flow = self._compiled.get(place)
        if flow is None:
            row = await self._database.pool.fetchrow(_ONE, *place)
            if row is None:
                raise _missing(key)
            flow = compile_flow(key, revision, row["spec"], self._renderer, row["description"])
            self._compiled[place] = flow
            if len(self._compiled) > _MAX_COMPILED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(place)
        return flow


def _missing(key: str) -> NotFoundError:
    return NotFoundError(f"There is no flow {key!r}.")
