"""Kind Agent: the agents of `/v1/ai/agents`, in the same table."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.alias_generators import to_camel
from sqlalchemy.orm import defer
from sqlmodel import col, select
from typing_extensions import override

from app.agents import service
from app.agents.entities import EntityKind
from app.agents.placeholders import find_placeholders
from app.agents.prices import check_agent_prices, needs_prices
from app.agents.record import CreateAgentRequest, TemplateVariable, UpdateAgentRequest, Variables
from app.db.models import Agent, AgentRevision, Session
from app.enums import Quota
from app.errors import BadRequestError, faults_within
from app.invokers.llm import BUILT_IN_PROFILES
from app.kit.concurrency.off_loop import off_loop
from app.manifests.brokers.bases.history import chosen_revision, history_table
from app.manifests.brokers.bases.stored import StoredBroker, attribute
from app.manifests.brokers.bases.tool_reference import tool_reference
from app.manifests.context import Context
from app.manifests.launch import Reply, launch_of, reply_of
from app.manifests.model.camel import to_camel_keys, to_snake_keys
from app.manifests.model.envelope import API_VERSION, Manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column, Table
from app.manifests.session_log import session_events
from app.sizes.limit import is_long
from app.threads.commands.start import ThreadStart
from app.wire.budget import Budget
from app.wire.names import FLOW_KEY_PATTERN
from app.wire.thread_requests import StartAgentThreadRequest

_KIND_OF_TYPE = {
    "dataset_id": EntityKind.DATASET,
    "device_id": EntityKind.DEVICE,
    "collection_id": EntityKind.COLLECTION,
}


def _snake(model: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: to_snake_keys(value, model))


class AgentSpec(ManifestModel):
    """What an agent is: see `/v1/ai/agents` for the members of the template."""

    request_template: Annotated[
        StartAgentThreadRequest,
        _snake(StartAgentThreadRequest),
    ] = Field(description="What a launch starts a session with, once its placeholders are filled.")
    variables: Annotated[Variables, _snake(TemplateVariable)] = Field(
        [], description="Exactly the placeholders of the template, each once."
    )
    flow: str = Field("chat", description="Key of the flow that runs.", pattern=FLOW_KEY_PATTERN)

    @model_validator(mode="after")
    def _one_flow(self) -> Self:
        template = self.request_template
        if "flow" in template.model_fields_set and template.flow != self.flow:
            raise ValueError("requestTemplate.flow is another than flow; leave it out there")
        return self

    def template(self) -> StartAgentThreadRequest:
        """The template with the flow in it, as the agents' own endpoints store it."""
        return self.request_template.model_copy(update={"flow": self.flow})


class AgentBroker(StoredBroker[AgentSpec, Agent]):
    """Changes are revisions, made by the functions that the agents' own endpoints use."""

    kind: ClassVar[str] = "Agent"
    quota: ClassVar[Quota] = Quota.AGENTS
    table: ClassVar[Any] = Agent
    id_prefix: ClassVar[str] = "agt"
    spec_model = AgentSpec
    free_names: ClassVar[bool] = True
    refers_to: ClassVar[frozenset[str]] = frozenset(
        {"Agent", "Flow", "Tool", "McpServer", "Provider", *_KIND_OF_TYPE.values()}
    )
    columns: ClassVar[Sequence[Column]] = (
        attribute("name"),
        attribute("description"),
        attribute("flow"),
        attribute("revision", "integer"),
        attribute("deployed", "boolean"),
        attribute("agentId", field="id"),
        attribute("created", "datetime"),
        attribute("modified", "datetime"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Agent
metadata:
  name: example-agent
  description: explains a topic
  version: 1.0.0
spec:
  requestTemplate:
    systemPrompt: You are a patient teacher.
    messages:
      - role: user
        content:
          - text: Explain {{topic}} in one sentence.
  variables:
    - name: topic
      description: what to explain
      required: false
      default: statecharts
"""

    @override
    async def create(self, context: Context, manifest: Manifest[AgentSpec]) -> Agent:
        request = CreateAgentRequest(
            name=manifest.name,
            description=manifest.metadata.description,
            request_template=manifest.spec.template(),
            variables=manifest.spec.variables,
        )
        meta = _meta(manifest)
        with faults_within("spec", spelling=to_camel):
            await _check_prices(context, request.request_template)
            record = await service.create_agent(context.db, context.caller, request, meta=meta)
        return await self._row(context, record.agent_id)

    @override
    async def change(self, context: Context, row: Agent, manifest: Manifest[AgentSpec]) -> Agent:
        request = UpdateAgentRequest(
            description=manifest.metadata.description,
            request_template=manifest.spec.template(),
            variables=manifest.spec.variables,
        )
        meta = _meta(manifest)
        with faults_within("spec", spelling=to_camel):
            await _check_prices(context, manifest.spec.template())
            keep = context.runtime.settings.revisions
            await service.update_agent(
                context.db, context.caller, row.id, request, keep=keep, meta=meta
            )
        return row

    @override
    async def deploy(self, context: Context, name: str) -> None:
        (await self.require(context, name, lock=True)).deployed = True

    @override
    async def undeploy(self, context: Context, name: str) -> None:
        (await self.require(context, name, lock=True)).deployed = False

    @override
    async def history(self, context: Context, name: str) -> Table:
        return history_table(await self._revisions(context, await self.require(context, name)))

    @override
    async def manifest_at(
        self, context: Context, name: str, revision: int | None
    ) -> dict[str, Any]:
        row = await self.require(context, name, lock=True)
        revisions = await self._revisions(context, row)
        then = chosen_revision(revisions, f"Agent {name!r}", revision)
        await context.db.refresh(then, ["request_template", "variables"])
        described = {"description": then.description} if then.description is not None else {}
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": row.name, **(row.meta or {}), **described},
            "spec": _spec(then.request_template, then.variables, then.flow),
        }

    @override
    async def prompt(self, context: Context, name: str, body: dict[str, Any]) -> ThreadStart:
        row = await self._deployed(context, name)
        record = await service.get_agent(context.db, context.caller, row.id)
        return await launch_of(context, record, body)

    @override
    async def reply(self, context: Context, name: str, body: dict[str, Any]) -> Reply:
        return await reply_of(context, (await self._deployed(context, name)).id, body)

    async def _deployed(self, context: Context, name: str) -> Agent:
        row = await self.require(context, name)
        if not row.deployed:
            raise BadRequestError(f"Agent {name!r} is not deployed: deploy it first.")
        return row

    @override
    def stored_spec(self, context: Context, manifest: Manifest[AgentSpec]) -> dict[str, Any]:
        raise NotImplementedError("agents are written by app.agents.service")

    @override
    def metadata_of(self, row: Agent) -> dict[str, Any]:
        described = {"description": row.description} if row.description is not None else {}
        meta = row.meta or {}
        return {"name": row.name, **described, **meta, "resourceVersion": str(row.revision)}

    @override
    async def spec_of(self, context: Context, row: Agent) -> dict[str, Any]:
        template, variables, flow = row.request_template, row.variables, row.flow
        return await off_loop(
            lambda: _spec(template, variables, flow), heavy=is_long([template, variables])
        )

    @override
    def normal_spec(self, manifest: Manifest[AgentSpec]) -> dict[str, Any]:
        spec = manifest.spec
        template = spec.request_template.model_dump(mode="json", exclude_unset=True)
        variables = [variable.model_dump(mode="json") for variable in spec.variables]
        return _spec(template, variables, spec.flow)

    @override
    async def status_of(self, context: Context, row: Agent) -> dict[str, Any]:
        return {
            "agentId": row.id,
            "revision": row.revision,
            "deployed": row.deployed,
            **await super().status_of(context, row),
        }

    @override
    async def events(self, context: Context, row: Agent, limit: int) -> list[dict[str, Any]]:
        return await session_events(context, col(Session.agent_id) == row.id, limit)

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        defaults = [
            Reference(kind, variable["default"], ("variables", index, "default"), must_exist=False)
            for index, variable in enumerate(spec["variables"])
            if (kind := _KIND_OF_TYPE.get(variable.get("type", ""))) and "default" in variable
        ]
        tools = [
            tool_reference(tool, ("requestTemplate", "tools", index))
            for index, tool in enumerate(spec["requestTemplate"].get("tools") or [])
            if not list(find_placeholders(tool))  # filled at launch
        ]
        return [Reference("Flow", spec["flow"], ("flow",)), *defaults, *tools, *_priced(spec)]

    async def _revisions(self, context: Context, row: Agent) -> Sequence[AgentRevision]:
        """What it was, newest first, without what is large: a history shows none of it."""
        large: Any = (AgentRevision.request_template, AgentRevision.variables)
        query = select(AgentRevision).options(*map(defer, large))
        query = query.where(AgentRevision.agent_id == row.id)
        newest = query.order_by(col(AgentRevision.revision).desc())
        return (await context.db.exec(newest)).all()

    async def _row(self, context: Context, agent_id: str) -> Agent:
        row = await context.db.get(Agent, agent_id)
        assert row is not None  # noqa: S101 - made a moment ago in this transaction
        return row


async def _check_prices(context: Context, template: StartAgentThreadRequest) -> None:
    llm = context.runtime.settings.llm
    await check_agent_prices(context.db, context.caller.org_id, template, llm)


def _priced(spec: dict[str, Any]) -> Iterator[Reference]:
    """The Provider whose prices the agent's budget needs."""
    profile, stored = (spec["requestTemplate"].get(name) for name in ("modelProfile", "budget"))
    budget = Budget.model_validate(to_snake_keys(stored, Budget)) if stored else None
    named = profile is not None and profile not in BUILT_IN_PROFILES
    if named and needs_prices(spec["flow"], profile, budget):
        yield Reference("Provider", profile, ("requestTemplate", "modelProfile"))


def _meta(manifest: Manifest[AgentSpec]) -> dict[str, Any]:
    """The metadata without the description, which has a column of its own."""
    stored = manifest.metadata.stored()
    return {field: value for field, value in stored.items() if field != "description"}


def _spec(template: dict[str, Any], variables: list[dict[str, Any]], flow: str) -> dict[str, Any]:
    """The spec in its one form: the flow stands beside the template, defaults are left out."""
    shown = {field: value for field, value in template.items() if field != "flow"}
    return {
        "requestTemplate": to_camel_keys(shown, StartAgentThreadRequest),
        "variables": [
            to_camel_keys(_without_defaults(variable), TemplateVariable) for variable in variables
        ],
        "flow": flow,
    }


def _without_defaults(variable: dict[str, Any]) -> dict[str, Any]:
    parsed = TemplateVariable.model_validate(variable)
    return parsed.model_dump(mode="json", exclude_defaults=True) | {"name": parsed.name}
