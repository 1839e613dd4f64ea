"""Kind McpServer: a server whose tools the model of an agent may have called."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from sqlmodel import select
from typing_extensions import override

from app.catalog.mcp_tools import LISTED, SEPARATOR, offer, server_tools
from app.db.models import Resource
from app.errors import FieldError, public_text
from app.invokers.config import read_config
from app.invokers.invoker import InvokerError
from app.invokers.mcp import open_connection
from app.invokers.mcp_servers.config import McpConfig
from app.invokers.mcp_servers.listing import MAX_NAME, MAX_TOOLS, ListedTool
from app.invokers.tool import Effect, OnLargeResult
from app.kit.invalid import InvalidValueError
from app.manifests.applied import Applied
from app.manifests.brokers.bases.connection import ConnectionBroker
from app.manifests.brokers.bases.headers import Headers, header_references
from app.manifests.brokers.bases.resource import spec_field
from app.manifests.brokers.bases.stored import COLUMNS
from app.manifests.brokers.bases.tool_rules import ApprovalTimeout, OnLarge
from app.manifests.connections import ManifestConnections
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, bad_manifest
from app.manifests.model.field_types import ModelUrl, SecretName
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column

_LIST_SECONDS = 10.0
_MAX_SERVER_NAME = 40  # leaves room for the names of tools
_MAX_WARNINGS = 20
_MAX_SHOWN = 60  # characters of a server's own name for a tool

ToolName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Approval = Literal["never", "always"]


class ToolRules(ManifestModel):
    """What is known of a tool's calls; what is left out is as in `defaults`."""

    effect: Effect | None = Field(None, description="read or write.")
    approval: Approval | None = Field(None, description="Whether a person must approve each call.")
    idempotent: bool | None = Field(
        None, description="Whether the server knows a repeated call by its key."
    )
    approval_timeout: ApprovalTimeout = None
    on_large_result: OnLarge | None = None


class DefaultRules(ManifestModel):
    """What is known of calls of all tools that have no rules of their own."""

    effect: Effect = Field(
        Effect.WRITE,
        description="read: a call changes nothing, and may be made again. write: it does; a call "
        "that ended without an answer is not made again.",
    )
    approval: Approval = Field("never", description="Whether a person must approve each call.")
    approval_timeout: ApprovalTimeout = None
    on_large_result: OnLarge = OnLargeResult.CUT
    idempotent: bool = Field(
        default=False,
        description="Whether the server knows a repeated call by `statewright/idempotency-key` in "
        "its `_meta`, so that a write may be sent again, too.",
    )


class McpServerSpec(ManifestModel):
    """Where the server is, how to sign in, and which of its tools agents may have."""

    url: ModelUrl = Field(description="Of its streamable HTTP endpoint.")
    auth: SecretName | None = Field(None, description="Secret that is sent as bearer token.")
    headers: Headers = Field({}, description="Sent with each request.")
    allowed_tools: list[ToolName] | None = Field(
        None,
        description="The server's names of the tools that agents may have; all if left out.",
        max_length=MAX_TOOLS,
    )
    timeout: float = Field(30.0, description="Seconds an attempt may take.", gt=0, le=600)
    retries: int = Field(
        2, description="Further attempts, where a call may be made again.", ge=0, le=20
    )
    trust_annotations: bool = Field(
        default=False,
        description="Whether a tool only reads where the server says so, and nothing else is said.",
    )
    defaults: DefaultRules = Field(
        DefaultRules(), description="The rules of tools that have none of their own."
    )
    tools: dict[ToolName, ToolRules] = Field(
        {}, description="Rules of tools, by the server's names.", max_length=MAX_TOOLS
    )


class McpServerBroker(ConnectionBroker[McpServerSpec]):
    """Agents, threads and messages name it, or `SERVER__TOOL`, in their `tools`.

    Its tools are looked up by each apply, once that is committed. A server that cannot be reached
    is a warning: the manifest says what is wanted, the status what is there.
    """

    kind: ClassVar[str] = "McpServer"
    id_prefix: ClassVar[str] = "mcp"
    spec_model = McpServerSpec
    refers_to: ClassVar[frozenset[str]] = frozenset({"Secret"})
    columns: ClassVar[Sequence[Column]] = (
        *COLUMNS,
        spec_field("url"),
        Column("tools", "integer", lambda row: len(row.spec.get(LISTED, {}).get("tools", []))),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: McpServer
metadata:
  name: example-server
  description: the issues of a project
spec:
  url: https://mcp.example.com/mcp
  allowedTools:
    - list_issues
    - create_issue
  tools:
    list_issues:
      effect: read
    create_issue:
      approval: always
"""

    @override
    def parse(self, envelope: Envelope) -> Manifest[McpServerSpec]:
        manifest = super().parse(envelope)
        name = manifest.name
        if len(name) > _MAX_SERVER_NAME or SEPARATOR in name or name.startswith("achieve_"):
            msg = (
                f"at most {_MAX_SERVER_NAME} characters, without {SEPARATOR} and not achieve_…: it "
                "is the first part of the names of its tools"
            )
            raise bad_manifest([{"loc": ["metadata", "name"], "msg": msg}])
        return manifest

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        auth = [Reference("Secret", spec["auth"], ("auth",))] if "auth" in spec else []
        return auth + header_references(spec["headers"], ("headers",))

    @override
    async def spec_of(self, context: Context, row: Resource) -> dict[str, Any]:
        return {field: value for field, value in row.spec.items() if field != LISTED}

    @override
    async def status_of(self, context: Context, row: Resource) -> dict[str, Any]:
        return {**_status(row.name, row.spec), **await super().status_of(context, row)}

    @override
    async def change(
        self, context: Context, row: Resource, manifest: Manifest[McpServerSpec]
    ) -> Resource:
        url, listed = row.spec["url"], row.spec.get(LISTED)
        changed = await super().change(context, row, manifest)
        if listed is not None and changed.spec["url"] == url:
            changed.spec = {**changed.spec, LISTED: listed}
        return changed

    @override
    async def follow_up(self, context: Context, applied: Applied) -> Applied:
        version = int(applied.manifest["metadata"]["resourceVersion"])
        spec = self._normal(applied.manifest["spec"])
        try:
            tools = await _list_tools(context, spec)
        except (
            InvokerError,
            InvalidValueError,
        ) as error:  # the latter: a header's Secret cannot be sent
            text = f"its tools are not known: {public_text(error)}; apply it again"
            fault: FieldError = {"loc": ["spec", "url"], "msg": text}
            return replace(applied, warnings=[*applied.warnings, fault])
        offered = offer(applied.name, tools)
        spec[LISTED] = {
            "tools": offered.tools,
            "listedAt": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        await self._keep(context, applied.name, version, spec[LISTED])
        known = {tool.name for tool in tools}
        return replace(
            applied,
            manifest=applied.manifest
            | {"status": applied.manifest["status"] | _status(applied.name, spec)},
            warnings=[
                *applied.warnings,
                *_left_out(offered.left_out),
                *_unknown(spec, known)[:_MAX_WARNINGS],
            ],
        )

    def _normal(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        parsed = McpServerSpec.model_validate(spec)
        return parsed.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def _keep(
        self, context: Context, name: str, version: int, listed: dict[str, Any]
    ) -> None:
        """Stores what the server offers, unless the manifest was changed meanwhile."""
        async with context.runtime.database.transaction() as db:
            query = select(Resource).where(
                Resource.org_id == context.caller.org_id,
                Resource.kind == self.kind,
                Resource.name == name,
                Resource.version == version,
            )
            row = (await db.exec(query.with_for_update())).one_or_none()
            if row is not None:
                row.spec = {**row.spec, LISTED: listed}


async def _list_tools(context: Context, spec: Mapping[str, Any]) -> list[ListedTool]:
    runtime = context.runtime
    connections = ManifestConnections(runtime.database.pool, context.vault)
    config = await connections.mcp_server(context.caller.org_id, spec)
    egress_allow = tuple(runtime.settings.security.egress_allow)
    connection = await open_connection(
        read_config(McpConfig, {**config, "egress_allow": egress_allow})
    )
    names = frozenset(spec["allowedTools"]) if "allowedTools" in spec else None
    return await connection.tools(names, min(spec["timeout"], _LIST_SECONDS))


def _status(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    listed = spec.get(LISTED)
    if listed is None:
        return {"tools": [], "listed": None}
    tools = [
        {
            "name": tool.name,
            "tool": tool.config["tool"],
            "description": tool.description,
            "inputSchema": tool.input_schema,
            "effect": tool.effect.value,
            "approval": tool.approval,
            "idempotent": tool.idempotent,
        }
        for tool in server_tools(name, spec).values()
    ]
    return {"tools": tools, "listed": listed["listedAt"]}


def _left_out(faults: Mapping[str, str]) -> list[FieldError]:
    found: list[FieldError] = [
        {"loc": ["status", "tools"], "msg": f"tool {name[:_MAX_SHOWN]!a} is left out: {why}"}
        for name, why in list(faults.items())[:_MAX_WARNINGS]
    ]
    if (more := len(faults) - len(found)) > 0:
        found.append({"loc": ["status", "tools"], "msg": f"{more} more tools are left out"})
    return found


def _unknown(spec: Mapping[str, Any], known: set[str]) -> list[FieldError]:
    """Tools that the spec names, and the server has not."""
    msg = "the server has no such tool"
    allowed: list[FieldError] = [
        {"loc": ["spec", "allowedTools", index], "msg": msg}
        for index, name in enumerate(spec.get("allowedTools", []))
        if name not in known
    ]
    ruled: list[FieldError] = [
        {"loc": ["spec", "tools", name], "msg": msg} for name in spec["tools"] if name not in known
    ]
    return allowed + ruled
