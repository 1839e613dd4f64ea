"""Kind Tool: a request over an ApiConnection that the model of an agent may have made."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator
from typing_extensions import override

from app.errors import FieldError
from app.flows.manifest.expression import ExpressionError, compile_expression
from app.invokers.tool import Effect, OnLargeResult, is_reserved
from app.invokers.web.http_config import HttpMethod, check_header, check_path
from app.invokers.web.tool_request import (
    BODILESS,
    ArgumentLocation,
    fixed_query,
    location_of,
    names_in_path,
)
from app.kit.invalid import InvalidValueError
from app.kit.schemas.json_schema import check_schema, schema_faults
from app.manifests.brokers.bases.resource import ResourceBroker, spec_field
from app.manifests.brokers.bases.stored import COLUMNS
from app.manifests.brokers.bases.tool_rules import ApprovalTimeout, OnLarge
from app.manifests.model.envelope import Envelope, Manifest, bad_manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column

_BRACES = re.compile(r"\{([^{}]*)\}")


class ToolHttp(ManifestModel):
    """The request of a call."""

    connection: str = Field(description="Name of the ApiConnection.", max_length=200)
    method: HttpMethod = Field(description="What the request does.")
    path: Annotated[str, AfterValidator(check_path)] = Field(
        description="Appended to the connection's URL; {argument} puts an argument in.",
        max_length=2_000,
        examples=["/orders/{order_id}"],
    )
    arguments: dict[str, ArgumentLocation] = Field(
        {},
        description="Where arguments go, by name. The others go into the query of a GET or DELETE, "
        "and into the body of any other request, which is a JSON object.",
        max_length=200,
    )

    @property
    def in_path(self) -> list[str]:
        """The names that stand in braces."""
        return names_in_path(self.path)

    def location_of(self, argument: str) -> ArgumentLocation:
        """Where an argument goes."""
        return location_of(argument, self.method, self.path, self.arguments)


class ApprovalRule(ManifestModel):
    """Which calls need an approval."""

    when: str = Field(description="An expression over the arguments, by name.")


class ToolSpec(ManifestModel):
    """What the tool is to the model, and what a call of it does."""

    description: str = Field(
        description="What it does, for the model to read.", min_length=1, max_length=20_000
    )
    input_schema: dict[str, Any] = Field(
        {}, description="The JSON Schema (2020-12) of its arguments, an object."
    )
    http: ToolHttp = Field(description="The request of a call.")
    effect: Effect = Field(
        Effect.WRITE,
        description="read: a call changes nothing, and may be made again. write: it does; a call "
        "that ended without an answer is not made again.",
    )
    approval: Literal["never", "always"] | ApprovalRule = Field(
        "never", description="Whether a person must approve each call, or some of them."
    )
    approval_timeout: ApprovalTimeout = None
    on_large_result: OnLarge = OnLargeResult.CUT
    idempotent: bool = Field(
        default=False,
        description="Whether the API knows a repeated call by its Idempotency-Key, so that a write"
        " may be sent again, too.",
    )
    timeout: float = Field(30.0, description="Seconds an attempt may take.", gt=0, le=600)
    retries: int = Field(
        2, description="Further attempts, where a call may be made again.", ge=0, le=20
    )
    example: dict[str, Any] | None = Field(
        None, description="Arguments of a call, for the model to read; they fit the schema."
    )

    @field_validator("input_schema")
    @classmethod
    def _is_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_schema(value)
        return value


class ToolBroker(ResourceBroker[ToolSpec]):
    """Agents, threads and messages name it in their `tools`."""

    kind: ClassVar[str] = "Tool"
    id_prefix: ClassVar[str] = "tol"
    spec_model = ToolSpec
    refers_to: ClassVar[frozenset[str]] = frozenset({"ApiConnection"})
    columns: ClassVar[Sequence[Column]] = (
        *COLUMNS,
        spec_field("effect"),
        spec_field("connection", "http", "connection"),
        spec_field("method", "http", "method"),
        spec_field("path", "http", "path"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Tool
metadata:
  name: example-tool
  description: what an agent knows of orders
spec:
  description: Looks up an order by its number.
  inputSchema:
    type: object
    properties:
      order_id:
        type: string
    required:
      - order_id
  http:
    connection: example-connection
    method: GET
    path: /orders/{order_id}
  effect: read
  example:
    order_id: A-17
"""

    @override
    def parse(self, envelope: Envelope) -> Manifest[ToolSpec]:
        manifest = super().parse(envelope)
        faults = list(_faults(manifest.spec))
        if is_reserved(manifest.name):
            faults.append(_fault("the service has a tool of this name", "metadata", "name"))
        if faults:
            raise bad_manifest(faults)
        return manifest

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        return [Reference("ApiConnection", spec["http"]["connection"], ("http", "connection"))]


def _faults(spec: ToolSpec) -> Iterator[FieldError]:
    """What does not fit together in a spec."""
    known: dict[str, Any] = spec.input_schema.get("properties", {})
    yield from _path_faults(spec, known)
    for name, location in spec.http.arguments.items():
        if fault := _location_fault(spec.http, name, location, known):
            yield _fault(fault, "spec", "http", "arguments", name)
    if isinstance(spec.approval, ApprovalRule):
        try:
            compile_expression(spec.approval.when, known)
        except ExpressionError as error:
            yield _fault(str(error), "spec", "approval", "when")
    if spec.example is not None:
        for fault in schema_faults(spec.input_schema, spec.example):
            yield _fault(f"does not fit inputSchema: {fault}", "spec", "example")


def _path_faults(spec: ToolSpec, known: Mapping[str, Any]) -> Iterator[FieldError]:
    required = spec.input_schema.get("required", [])
    if "{" in (rest := _BRACES.sub("", spec.http.path)) or "}" in rest:
        yield _fault("a brace stands alone; write {argument}", "spec", "http", "path")
    if "{" in spec.http.path.partition("?")[2]:
        yield _fault("an argument of the query goes there by `arguments`", "spec", "http", "path")
    for name in known.keys() & fixed_query(spec.http.path).keys():
        if spec.http.location_of(name) is ArgumentLocation.QUERY:
            yield _fault(f"the path fixes {name!r}, which is an argument", "spec", "http", "path")
    for name in spec.http.in_path:
        if name not in known:
            yield _fault(f"inputSchema has no property {name!r}", "spec", "http", "path")
        elif name not in required:
            yield _fault(f"inputSchema must require {name!r}", "spec", "http", "path")


def _location_fault(
    http: ToolHttp, name: str, location: ArgumentLocation, known: Collection[str]
) -> str | None:
    """Why an argument cannot go where it is to go; None where it can."""
    if name not in known:
        return "inputSchema has no such property"
    if (name in http.in_path) != (location is ArgumentLocation.PATH):
        return f"the path has {'a' if name in http.in_path else 'no'} place {{{name}}}"
    if location is ArgumentLocation.BODY and http.method in BODILESS:
        return f"a {http.method} has no body"
    if location is ArgumentLocation.HEADER:
        try:
            check_header(name, "")
        except InvalidValueError as error:
            return str(error)
    return None


def _fault(msg: str, *loc: str | int) -> FieldError:
    return {"loc": list(loc), "msg": msg}
