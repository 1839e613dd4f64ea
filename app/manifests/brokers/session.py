"""Kind Session: conversations, to be looked at and deleted; events move them, not applies."""

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, or_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.db.models import Agent, Session
from app.errors import VerbNotAllowedError
from app.manifests.brokers.bases.stored import StoredBroker, attribute
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column, GetQuery
from app.manifests.session_log import KEPT_EVENTS, kept_log, session_events
from app.sessions.deletion import end_if_long
from app.sessions.store.chart_memory import ChartMemory
from app.sessions.turn.resuming import check_retry, last_turn_failed, retry_invocation
from app.sessions.visibility import check_deletable, check_usable, select_sessions


class SessionSpec(ManifestModel):
    """What a session was started with; read-only."""

    flow: str
    flow_revision: int
    agent_id: str | None = None
    agent_revision: int | None = None
    visibility: str
    title: str | None = None


class SessionBroker(StoredBroker[SessionSpec, Session]):
    """The kind Session; private ones are there for their creator and for admins only."""

    kind: ClassVar[str] = "Session"
    table: ClassVar[Any] = Session
    id_prefix: ClassVar[str] = "ath"
    name_field: ClassVar[str] = "id"
    large_rows: ClassVar[bool] = False  # their models are not read
    sort_by: ClassVar[str] = "created"
    sort_upwards: ClassVar[bool] = False
    spec_model = SessionSpec
    free_names: ClassVar[bool] = True
    has_private_rows: ClassVar[bool] = True
    refused_verbs: ClassVar[frozenset[str]] = frozenset({"apply"})
    columns: ClassVar[Sequence[Column]] = (
        attribute("name", field="id"),
        attribute("flow"),
        attribute("state"),
        attribute("title"),
        attribute("error", field="task_error"),
        attribute("messages", "integer", field="message_count"),
        attribute("agentId", field="agent_id"),
        attribute("created", "datetime"),
        attribute("modified", "datetime"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Session
metadata:
  name: ath_01k8zq5d3v0000000000000000
spec:
  flow: chat
  flowRevision: 0
  visibility: org
"""

    @override
    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        return select_sessions(context.caller)

    @override
    def conditions(self, query: GetQuery) -> list[ColumnElement[bool]]:
        found = [last_turn_failed()] if query.failed else []
        if query.flow is not None:
            found.append(col(Session.flow) == query.flow)
        if query.agent is not None:
            named = select(Agent.id).where(
                Agent.org_id == Session.org_id, Agent.name == query.agent
            )
            agent_id = col(Session.agent_id)
            found.append(or_(agent_id == query.agent, agent_id.in_(named)))
        return found

    @override
    async def retry(
        self, context: Context, name: str, step: str | None, idempotency_key: str | None
    ) -> None:
        await self.require(context, name)
        runtime, caller = context.runtime, context.caller
        if context.dry_run:
            await check_retry(runtime, caller, name, step)
            return
        await retry_invocation(
            runtime,
            caller,
            name,
            step=step,
            idempotency_key=idempotency_key,
            allow=lambda session: check_usable(caller, session),
            answer=lambda before, _change: {"session_id": before.id},
        )

    @override
    def parse(self, envelope: Envelope) -> Manifest[SessionSpec]:
        raise VerbNotAllowedError("Sessions are read-only: start them, and send them events.")

    @override
    def stored_spec(self, context: Context, manifest: Manifest[SessionSpec]) -> dict[str, Any]:
        raise NotImplementedError("sessions are written by app.sessions")

    @override
    def metadata_of(self, row: Session) -> dict[str, Any]:
        return {"name": row.id, "resourceVersion": str(row.version)}

    @override
    async def spec_of(self, context: Context, row: Session) -> dict[str, Any]:
        fields = {field: getattr(row, field) for field in SessionSpec.model_fields}
        spec = SessionSpec.model_construct(**fields)
        return spec.model_dump(mode="json", by_alias=True, exclude_none=True)

    @override
    async def status_of(self, context: Context, row: Session) -> dict[str, Any]:
        return {
            "state": row.state,
            "running": row.invocation_id is not None,
            "messages": row.message_count,
            "error": row.task_error,
            "timers": ChartMemory.from_column(row.chart).shown_timers(),
            "created": row.created,
            "createdBy": row.created_by,
            "modified": row.modified,
            "expires": row.expires_at,
        }

    @override
    async def events(self, context: Context, row: Session, limit: int) -> list[dict[str, Any]]:
        return await session_events(context, col(Session.id) == row.id, limit)

    @override
    def check_was_there(self, context: Context, name: str, items: list[dict[str, Any]]) -> None:
        if not any(item["text"] == "delete" and item["status"] == "200" for item in items):
            self._raise_not_found(name)  # it is over, and was not deleted by anybody
        super().check_was_there(context, name, items)

    @override
    async def remove(self, context: Context, row: Session) -> None:
        check_deletable(context.caller, row)
        events = await self.events(context, row, KEPT_EVENTS)
        context.db.add(kept_log(context.caller, row, events))
        if not await end_if_long(context.db, row.id):
            await super().remove(context, row)
