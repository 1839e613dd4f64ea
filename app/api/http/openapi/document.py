"""The OpenAPI document: names that read well in generated SDKs, and errors as problems."""

import threading
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from app.api.http.openapi.generated_clients import for_generators
from app.api.http.problems import Problem, problem_responses

DESCRIPTION = """\
Declare AI agents, launch them, and drive their conversations as durable state machines.

Every endpoint but health needs an API key: `Authorization: Bearer KEY` (or `Token KEY`).
Every error is a problem document (RFC 9457), `application/problem+json`.
"""

TAGS = [
    {"name": "agents", "description": "Request templates with declared variables; versioned."},
    {"name": "threads", "description": "Conversations of agents, driven by messages."},
    {"name": "actions", "description": "What turns wait for people to do, such as an approval."},
    {"name": "usage", "description": "What models took, and what it cost."},
    {"name": "datasets", "description": "What goals of threads brought about in datasets."},
    {"name": "skills", "description": "Procedures that a model can be given; versioned."},
    {"name": "flows", "description": "What sessions run: states, events, models; as pictures too."},
    {"name": "sessions", "description": "Any flow as a durable state machine, driven by events."},
    {"name": "manifests", "description": "Every resource as a YAML file: apply, describe, delete."},
    {"name": "health", "description": "Whether the service lives and is ready. No key needed."},
]

_SCHEMAS = "#/components/schemas/"


def operation_id(route: APIRoute) -> str:
    """`<tag>_<function>`, such as `agents_create`; a trailing underscore (`list_`) is dropped."""
    tag = route.tags[0] if route.tags else "api"
    return f"{tag}_{route.name.rstrip('_')}"


class PromptRequest(BaseModel):
    """What is said to an agent; as YAML, too."""

    prompt: str = Field(description="What is said.", examples=["What is a statechart?"])
    values: dict[str, str] | None = Field(None, description="Values for the agent's variables.")
    session: str | None = Field(None, description="A session of the agent to say it in.")


class Manifest(BaseModel):
    """A resource as a document; `POST /api/v1/cli/json-schema/{kind}/` has the schema of a kind."""

    model_config = ConfigDict(extra="allow")

    apiVersion: Literal["statewright/v1"]  # noqa: N815 - as it is spelled in manifests
    kind: str = Field(description="The kind.", examples=["Dataset"])
    metadata: dict[str, Any] = Field(description="`name`, and labels, annotations and others.")
    spec: dict[str, Any] | None = Field(None, description="What the kind declares.")


class ManifestDocuments(RootModel[Manifest | str]):
    """One document; or a text of one or more, in YAML or JSON."""


# Schemas that no endpoint declares by itself.
_FURTHER: tuple[type[BaseModel], ...] = (Problem, PromptRequest, ManifestDocuments)


class StatewrightApi(FastAPI):
    """The application, with our errors in its document: bad input is a 400, never FastAPI's 422."""

    _making = threading.Lock()

    @override
    def setup(self) -> None:
        """Adds the route of the document, for which no key is needed."""
        self.add_route("/openapi.json", self._document_response, include_in_schema=False)

    def _document_response(self, request: Request) -> Response:
        """The document; in a thread, as the first takes a second to make."""
        with self._making:
            document = self.openapi()
        prefix = request.scope.get("root_path", "").rstrip("/")
        servers = [{"url": prefix}] if prefix else []
        document = {**document, "servers": [*servers, *document.get("servers", [])]}
        return Response(orjson.dumps(document), media_type="application/json")

    @override
    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:  # else it is the one made before
            for model in _FURTHER:
                schema = model.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
            document.setdefault("servers", [{"url": "/"}])
            _remove_422(document)
            _declare_mismatch(document)
            self.openapi_schema = document = for_generators(_rename_envelopes(document))
        return document


def _remove_422(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in str(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _declare_mismatch(document: dict[str, Any]) -> None:
    """Adds the answer to a key that came before with another request, wherever a key is taken."""
    for path in document["paths"].values():
        for operation in path.values():
            if any(p["name"] == "idempotency-key" for p in operation.get("parameters", [])):
                [(status, response)] = problem_responses(422).items()
                operation["responses"][str(status)] = response


def _rename_envelopes(document: dict[str, Any]) -> dict[str, Any]:
    """`Data_AgentRecord_` becomes `AgentRecordData`, its title: generated SDKs use these names."""
    schemas = document["components"]["schemas"]
    titles = {name: schema["title"] for name, schema in schemas.items() if name.endswith("_")}
    document["components"]["schemas"] = {
        titles.get(name, name): schema for name, schema in schemas.items()
    }
    text = orjson.dumps(document).decode()
    for name, title in titles.items():
        text = text.replace(f'"{_SCHEMAS}{name}"', f'"{_SCHEMAS}{title}"')
    renamed: dict[str, Any] = orjson.loads(text)
    return renamed
