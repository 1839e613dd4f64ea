"""What makes an OpenAPI document good input for generators of clients."""

import json
from collections.abc import Iterator
from typing import Any

_SCHEMAS = "#/components/schemas/"
_INT32 = 2**31
_DATA = frozenset({"default", "example", "examples", "enum", "const"})
_CONTENT = "AgentContent"
_KIND = "content_type"


def for_generators(document: dict[str, Any]) -> dict[str, Any]:
    """Completes a document in place: sizes of integers, a discriminator, defaults as text."""
    for schema in _all(document):
        if schema.get("type") == "integer" and abs(schema.get("maximum", _INT32)) >= _INT32:
            schema.setdefault("format", "int64")
    _discriminate(document["components"]["schemas"])
    for schema in _sent(document):
        _say_default(schema)
    return document


def _all(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document that may be a schema: neither data nor names of members."""
    if isinstance(node, list):
        for item in node:
            yield from _all(item)
    if not isinstance(node, dict):
        return
    yield node
    for key, item in node.items():
        if key == "properties":
            for schema in item.values():
                yield from _all(schema)
        elif key not in _DATA:
            yield from _all(item)


def _discriminate(schemas: dict[str, Any]) -> None:
    """Says how blocks of messages are distinguished: which pydantic does by a function of ours."""
    mapping = {}
    for reference in schemas[_CONTENT]["oneOf"]:
        block = schemas[reference["$ref"].removeprefix(_SCHEMAS)]
        mapping[block["properties"][_KIND]["const"]] = reference["$ref"]
    schemas[_CONTENT]["discriminator"] = {"propertyName": _KIND, "mapping": mapping}


def _sent(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every object of the bodies that clients send."""
    schemas = document["components"]["schemas"]
    waiting = [
        operation["requestBody"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]
    seen: set[str] = set()
    while waiting:
        for found in _all(waiting.pop()):
            yield found
            name = str(found.get("$ref", "")).removeprefix(_SCHEMAS)
            if name in schemas and name not in seen:
                seen.add(name)
                waiting.append(schemas[name])


def _say_default(schema: dict[str, Any]) -> None:
    """Puts a default into words: of a member that has one some generators make a required one.

    The kind of a block keeps its own, so that it need not be given where a block is made.
    """
    if "const" not in schema and (default := schema.pop("default", None)) is not None:
        text = f"{schema.get('description', '')} Default: `{json.dumps(default)}`."
        schema["description"] = text.strip()
