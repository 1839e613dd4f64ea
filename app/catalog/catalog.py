"""The flows that sessions run: those of the product, of the user's package, and of manifests."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import JSON, text
from sqlmodel.ext.asyncio.session import AsyncSession

from app.catalog.compiled import CompiledFlows, FlowSource
from app.db.engine import PAGE_BYTES, Database
from app.errors import BadRequestError, FieldError, NotFoundError
from app.flows.flow import Flow
from app.flows.library import code_flows
from app.flows.manifest.chart_source import number_of_states as states_in
from app.flows.outline import number_of_states
from app.flows.rendering.sandbox import SandboxRenderer
from app.kit.paging import cut_page, decode_key, encode_token
from app.settings import FlowSettings

_NEWEST = """
SELECT CASE WHEN NOT deleted THEN revision END FROM flow_revision
WHERE org_id = $1 AND key = $2 ORDER BY revision DESC LIMIT 1"""
_ONE = """
SELECT spec, description FROM flow_revision WHERE org_id = $1 AND key = $2 AND revision = $3"""
# Of what a page does not hold in its bytes, only the keys are read; it holds one in any case.
_PAGE = text("""
SELECT key, revision, CASE WHEN total <= :bytes OR place = 1 THEN description END AS description,
  CASE WHEN total <= :bytes OR place = 1 THEN number_of_states END AS number_of_states,
  CASE WHEN total <= :bytes OR place = 1 THEN statechart END AS statechart,
  total <= :bytes OR place = 1 AS fits
FROM (
  SELECT key, revision, description, number_of_states, statechart, row_number() OVER w AS place,
    sum(coalesce(octet_length(description), 0) + coalesce(octet_length(statechart::text), 0))
      OVER w AS total
  FROM (
    SELECT key, revision, description, number_of_states,
      CASE WHEN number_of_states IS NULL THEN spec->'statechart' END AS statechart
    FROM (
      SELECT DISTINCT ON (key) key, revision, description, number_of_states, spec, deleted
      FROM flow_revision WHERE org_id = :org_id AND key > :after ORDER BY key, revision DESC
    ) newest WHERE NOT deleted ORDER BY key LIMIT :most
  ) page WINDOW w AS (ORDER BY key)
) sized ORDER BY key""").columns(statechart=JSON)


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """A flow as lists show it; `revision` is 0 of flows in code."""

    key: str
    revision: int
    description: str | None
    number_of_states: int

    @classmethod
    def of(cls, flow: Flow) -> Self:
        """The summary of a compiled flow."""
        return cls(flow.key, flow.revision, flow.description, number_of_states(flow))


class FlowCatalog:
    """Finds flows by org, key and revision.

    Args:
        database: has those of manifests.
        compiled: compiles them.
        package: the user's package with flows in code.
    """

    def __init__(
        self, database: Database, compiled: CompiledFlows, package: str | None = None
    ) -> None:
        self._database = database
        self._compiled = compiled
        self._in_code = code_flows(package)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database: Database, settings: FlowSettings, package: str | None = None
    ) -> AsyncIterator[Self]:
        """The catalog of a process; flows in code, also those of `package`, are checked here."""
        async with SandboxRenderer() as renderer:
            compiled = CompiledFlows(renderer, settings.max_compiled_bytes)
            try:
                yield cls(database, compiled, package)
            finally:
                compiled.close()

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

    async def page(
        self, db: AsyncSession, org_id: str, *, limit: int, page_token: str | None
    ) -> tuple[Sequence[FlowSummary], str | None]:
        """A page of the flows that an org can run, each at its newest revision, by key.

        None is compiled: so one that was saved by an older release is there too if it does not
        compile any more.

        Returns:
            The flows, and the token of the next page if there is one.

        Raises:
            PageTokenError: the token is none of ours.
        """
        after = decode_key(page_token) if page_token else ""
        page = {"org_id": org_id, "after": after, "most": limit + 1, "bytes": db.info[PAGE_BYTES]}
        rows = (await (await db.connection()).execute(_PAGE, page)).all()
        found = [FlowSummary.of(flow) for key, flow in self._in_code.items() if key > after]
        cut = next((row.key for row in rows if not row.fits), None)
        found += [
            FlowSummary(
                row.key,
                row.revision,
                row.description,
                states_in(row.statechart) if row.number_of_states is None else row.number_of_states,
            )
            for row in rows
            if row.fits
        ]
        found.sort(key=lambda flow: flow.key)
        if cut is not None:
            fitting = [flow for flow in found if flow.key < cut]
            return fitting[:limit], encode_token(fitting[:limit][-1].key)
        return cut_page(found, limit, lambda last: encode_token(last.key))

    async def _manifest(self, org_id: str, key: str, revision: int) -> Flow:
        async def read() -> FlowSource:
            row = await self._database.pool.fetchrow(_ONE, org_id, key, revision)
            if row is None:
                raise _missing(key)
            return FlowSource(row["spec"], row["description"])

        return await self._compiled.get(org_id, key, revision, read)


def _missing(key: str) -> NotFoundError:
    return NotFoundError(f"There is no flow {key!r}.")
