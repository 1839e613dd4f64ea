"""The JSON Schema of a kind's manifests."""

from typing import Any

from pydantic import BaseModel

from app.manifests.model.camel import camel_schema
from app.manifests.model.metadata import NAME_PATTERN, Metadata

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema(kind: str, spec: type[BaseModel], *, free_names: bool) -> dict[str, Any]:
    """The schema of a whole manifest: envelope, metadata and spec."""
    definitions: dict[str, Any] = {}
    metadata = _embedded(Metadata, definitions)
    if not free_names:
        metadata["properties"]["name"]["pattern"] = NAME_PATTERN
    spec_schema = _embedded(spec, definitions)
    return {
        "$schema": _DIALECT,
        "title": kind,
        "type": "object",
        "properties": {
            "apiVersion": {"const": "statewright/v1"},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": spec_schema,
            "status": {"type": "object", "readOnly": True},
        },
        "required": [
            "apiVersion",
            "kind",
            "metadata",
            *(["spec"] if "required" in spec_schema else []),
        ],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _embedded(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = camel_schema(model.model_json_schema(by_alias=True))
    definitions.update(schema.pop("$defs", {}))
    return schema
