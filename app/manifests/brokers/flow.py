"""Kind Flow: a statechart with a session model and a template for each state."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, ClassVar

from pydantic import ConfigDict, Field
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import defer
from sqlmodel import col, select
from typing_extensions import override

from app.catalog.revisions import delete_flow, newest_revision, save_flow
from app.db.models import FlowRevision
from app.enums import Quota
from app.invokers.template_config import BUILT_IN
from app.manifests.broker import Broker
from app.manifests.brokers.bases.flow_templates import (
    agents,
    check_calls,
    check_limits,
    check_operators_model,
    invokes,
    refuse_keys,
    unserved_queues,
)
from app.manifests.brokers.bases.history import chosen_revision, history_table
from app.manifests.brokers.bases.listing import page_of
from app.manifests.brokers.bases.tool_reference import tool_reference
from app.manifests.context import Context
from app.manifests.model.envelope import API_VERSION, Manifest, faults_at
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column, GetQuery, Table


class FlowSpec(ManifestModel):
    """A flow; what its parts may hold is checked when it is saved.

    So is what is missing or unknown here, so that one error lists all faults of a flow.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"additionalProperties": False, "required": ["statechart", "templates"]},
    )

    model: dict[str, Any] = Field({}, description="JSON Schema properties of the session.")
    statechart: dict[str, Any] = Field(
        {},
        description="The states, and the events that move it. A state that invokes something is"
        " left by its first event, which has the result as its input. Where the invocation failed,"
        " it is left by the event `error` (its input says why), if it takes that and a guard of it"
        " holds; or else by its first event with empty input. Guards, assignments and templates"
        " see why it failed as task_error, which is null otherwise.",
    )
    templates: dict[str, Any] = Field(
        {},
        description="One for each state: a text, or an object with one of invoke, chain, parallel,"
        " map, queue, ask and agent. Its texts are Jinja2, and see the fields of the model,"
        " actor_input, parsed_actor_input, task_error, user_info, session_id, state_id, state_name,"
        " current_datetime, dialogue, chat_history and secondary_store; in a chain previous_result"
        " and parsed_previous_result too. An invoke has a template, and may have config, timeout"
        " (seconds of an attempt), and either retries (attempts after the first) or retry:"
        " maximum_attempts, initial_interval and maximum_interval (seconds),"
        " backoff_coefficient, and on, the failures that are tried again while all others are"
        " final: timeout, connection, answer (one that cannot be read), a status such as 429, a"
        " class of them such as 5xx. An ask has a message (a template) and a schema: a person"
        " answers, with what fits that JSON Schema (2020-12), and the answer is the step's"
        " result. It may have expires (seconds; seven days by default), on_expiry (what the"
        " invocation comes to then: fail or cancel), and approvers (who may answer: owner or"
        " scope; either by default). An agent, by name, answers in a session of its own; it may"
        " have values (templates) for its variables, and timeout. An invoke with tools (as those of"
        " an agent) is a turn of a model that may call them, in a session of its own.",
        examples=[
            {
                "answering": {
                    "invoke": "llm",
                    "template": "{{ actor_input }}",
                    "timeout": 30,
                    "retry": {
                        "maximum_attempts": 5,
                        "initial_interval": 1,
                        "backoff_coefficient": 2,
                        "maximum_interval": 60,
                        "on": ["timeout", "connection", 429, "5xx"],
                    },
                },
                "approving": {
                    "ask": {
                        "message": "Refund order {{ actor_input }}?",
                        "schema": {
                            "type": "object",
                            "properties": {"amount": {"type": "number", "minimum": 0}},
                            "required": ["amount"],
                        },
                        "expires": 86_400,
                        "on_expiry": "cancel",
                        "approvers": "scope",
                    }
                },
            }
        ],
    )


class FlowBroker(Broker[FlowSpec, FlowRevision]):
    """An apply that changes something is a new revision; sessions keep the one they run."""

    kind: ClassVar[str] = "Flow"
    quota: ClassVar[Quota] = Quota.FLOWS
    sort_by: ClassVar[str] = "key"
    id_field: ClassVar[str] = "key"
    spec_model = FlowSpec
    refers_to: ClassVar[frozenset[str]] = frozenset(
        {"Agent", "ApiConnection", "Flow", "McpServer", "Provider", "Tool"}
    )
    columns: ClassVar[Sequence[Column]] = (
        Column("name", "string", lambda row: row.key, sort="key"),
        Column("description", "string", lambda row: row.description, sort="description"),
        Column("version", "string", lambda row: (row.meta or {}).get("version")),
        Column("revision", "integer", lambda row: row.revision, sort="revision"),
        Column("states", "integer", lambda row: len(row.spec["statechart"].get("states", {}))),
        Column("modified", "datetime", lambda row: row.created, sort="created"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Flow
metadata:
  name: example-flow
  description: answers one question after the other
  version: 1.0.0
spec:
  statechart:
    states:
      waiting:
        initial: true
        transitions:
          - {event: user_input, target: answering}
      answering:
        transitions:
          - {event: ai_answer, target: waiting}
  templates:
    waiting: "{{ actor_input }}"
    answering:
      invoke: llm
      template: "{{ actor_input }}"
"""

    @override
    async def find(self, context: Context, name: str, *, lock: bool = False) -> FlowRevision | None:
        """The newest revision. Its row never changes: who changes the flow holds its name."""
        if lock:
            await self.lock_name(context, name)
        row = await newest_revision(context.db, context.caller, name)
        return row if row is not None and not row.deleted else None

    @override
    async def lock_existing(self, context: Context, name: str) -> bool:
        """Flows in code are there for every org."""
        if name in context.runtime.catalog.keys_in_code:
            return True
        await self.lock_name(context, name)
        return await super().lock_existing(context, name)

    @override
    async def rows(self, context: Context, query: GetQuery | None) -> Sequence[FlowRevision]:
        newest = (
            select(FlowRevision)
            .ext(distinct_on(col(FlowRevision.key)))
            .where(FlowRevision.org_id == context.caller.org_id)
            .order_by(col(FlowRevision.key), col(FlowRevision.revision).desc())
        )
        found = [row for row in await context.db.exec(newest) if not row.deleted]
        if query is None:
            return found
        query.refuse_filters(self.kind)
        requirements = query.requirements
        found = [
            row
            for row in found
            if query.name in (None, row.key)
            and all(one.is_met((row.meta or {}).get("labels", {})) for one in requirements)
        ]
        order = query.order(self.columns, (self.sort_by, self.sort_upwards))
        return page_of(found, FlowRevision, query, order)

    @override
    async def create(self, context: Context, manifest: Manifest[FlowSpec]) -> FlowRevision:
        refuse_keys(manifest.spec.templates)
        check_limits(manifest.spec.templates, context.runtime.settings.limits)
        check_operators_model(manifest.spec.templates, context.runtime.settings.llm)
        stored = manifest.metadata.stored()
        description = stored.pop("description", None)
        providers = await context.brokers.names(context, "Provider")
        with faults_at({}):
            row, warnings = await save_flow(
                context.db,
                context.caller,
                manifest.name,
                self.normal_spec(manifest),
                description=description,
                meta=stored,
                invokers={*BUILT_IN, *providers},
                reserved_keys=context.runtime.catalog.keys_in_code,
                keep=context.runtime.settings.revisions,
            )
        unserved = await unserved_queues(context, manifest.spec.templates)
        context.warnings[manifest.name] = [*warnings, *unserved]
        await check_calls(context, manifest.spec.templates)
        return row

    @override
    async def change(
        self, context: Context, row: FlowRevision, manifest: Manifest[FlowSpec]
    ) -> FlowRevision:
        return await self.create(context, manifest)

    @override
    async def remove(self, context: Context, row: FlowRevision) -> None:
        await delete_flow(context.db, context.caller, row)

    @override
    async def history(self, context: Context, name: str) -> Table:
        return history_table(await self._revisions(context, name))

    @override
    async def manifest_at(
        self, context: Context, name: str, revision: int | None
    ) -> dict[str, Any]:
        then = chosen_revision(await self._revisions(context, name), f"Flow {name!r}", revision)
        await context.db.refresh(then, ["spec"])
        metadata = self.metadata_of(then)
        del metadata["resourceVersion"]
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": metadata,
            "spec": then.spec,
        }

    async def _revisions(self, context: Context, name: str) -> Sequence[FlowRevision]:
        """Those since the flow is there, without specs; one that was deleted begins anew."""
        await self.require(context, name)
        spec: Any = FlowRevision.spec
        query = (
            select(FlowRevision)
            .options(defer(spec))
            .where(FlowRevision.org_id == context.caller.org_id, FlowRevision.key == name)
        )
        rows = (await context.db.exec(query.order_by(col(FlowRevision.revision).desc()))).all()
        return list(takewhile(lambda row: not row.deleted, rows))

    @override
    def metadata_of(self, row: FlowRevision) -> dict[str, Any]:
        described = {"description": row.description} if row.description is not None else {}
        meta = row.meta or {}
        return {"name": row.key, **described, **meta, "resourceVersion": str(row.revision)}

    @override
    async def spec_of(self, context: Context, row: FlowRevision) -> dict[str, Any]:
        return row.spec

    @override
    def normal_spec(self, manifest: Manifest[FlowSpec]) -> dict[str, Any]:
        spec = manifest.spec.model_dump(exclude_unset=True)
        return {part: value for part, value in spec.items() if value or part != "model"}

    @override
    async def status_of(self, context: Context, row: FlowRevision) -> dict[str, Any]:
        return {"revision": row.revision, "modified": row.created, "modifiedBy": row.created_by}

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        found = []
        for place, invoke in invokes(spec["templates"], ("templates",)):
            config = invoke.get("config") or {}
            if invoke["invoke"] not in BUILT_IN:
                found.append(Reference("Provider", invoke["invoke"], (*place, "invoke")))
            elif isinstance(name := config.get("connection"), str):
                found.append(Reference("ApiConnection", name, (*place, "config", "connection")))
            found += [
                tool_reference(tool, (*place, "tools", index))
                for index, tool in enumerate(invoke.get("tools") or [])
            ]
        found += [
            Reference("Agent", call["agent"], (*place, "agent"))
            for place, call in agents(spec["templates"], ("templates",))
        ]
        return found
