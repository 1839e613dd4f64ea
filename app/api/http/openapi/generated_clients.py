"""What makes an OpenAPI document good input for generators of clients."""

import json
from collections.abc import Iterator
from typing import Any

_SCHEMAS = "#/components/schemas/"
_INT32 = 2**31
_DATA = frozenset({"default", "example", "examples", "enum", "const"})
_CONTENT = "AgentContent"
_KIND = "content_type"
_KINDS = {
    "string": "a string",
    "boolean": "a boolean",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_MAPS: dict[str, Any] = {
    "JsonObject": {
        "type": "object",
        "additionalProperties": True,
        "description": "Any JSON by name.",
    },
    "TextByName": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Texts by name.",
    },
}


def for_generators(document: dict[str, Any]) -> dict[str, Any]:
    """Completes a document in place: sizes of integers, a discriminator, defaults as text.

    What no generator makes anything good of is said in words: parameters that may be null, and
    unions of any object with others.
    """
    for operation in _operations(document):
        _without_null(operation)
    named = _MAPS | document["components"]["schemas"]
    for schema in _all(document):
        _loosen_union(schema)
        _name_maps(schema)
        if schema.get("type") == "integer" and abs(schema.get("maximum", _INT32)) >= _INT32:
            schema.setdefault("format", "int64")
    document["components"]["schemas"] = named
    _discriminate(named)
    for schema in _request_objects(document):
        _say_defaults(schema)
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


def _name_maps(schema: dict[str, Any]) -> None:
    """Names the objects without members of their own in a union: generators would number them."""
    choices = schema.get("anyOf", ())
    for position, choice in enumerate(choices):
        for name, declared in _MAPS.items():
            if choice == {key: item for key, item in declared.items() if key != "description"}:
                choices[position] = {"$ref": f"{_SCHEMAS}{name}"}


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _without_null(operation: dict[str, Any]) -> None:
    """What may be left out of a request is left out: there is no null to send in its place."""
    places = list(operation.get("parameters", ()))
    places += operation.get("requestBody", {}).get("content", {}).values()
    for place in places:
        schema = place["schema"]
        choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if len(choices) == 1:
            del schema["anyOf"]
            schema |= choices[0]
        schema.pop("title", None)  # of which generators make the name of a type


def _loosen_union(schema: dict[str, Any]) -> None:
    """Any JSON, in place of a union that any object is a member of; the words say what of it.

    As types of a language such unions cannot be written.
    """
    choices = schema.get("anyOf", ())
    types = [_KINDS[one["type"]] for one in choices if one.get("type") in _KINDS]
    if len(types) < len(choices) or not {"an object"} < set(types) - {"null"}:
        return
    del schema["anyOf"]
    words = f"{', '.join(types[:-1])} or {types[-1]}"
    schema["description"] = (
        f"{schema.get('description', '')} {words[0].upper()}{words[1:]}.".strip()
    )


def _discriminate(schemas: dict[str, Any]) -> None:
    """Says how blocks of messages are distinguished: which pydantic does by a function of ours.

    By a member that each has: that it may be left out of what is sent is no part of the contract.
    """
    mapping = {}
    for reference in schemas[_CONTENT]["oneOf"]:
        block = schemas[reference["$ref"].removeprefix(_SCHEMAS)]
        mapping[block["properties"][_KIND]["const"]] = reference["$ref"]
        if _KIND not in block["required"]:
            block["required"] = [_KIND, *block["required"]]
    schemas[_CONTENT]["discriminator"] = {"propertyName": _KIND, "mapping": mapping}


def _request_objects(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
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


def _say_defaults(schema: dict[str, Any]) -> None:
    """Puts defaults into words: of a member that has one some generators make a required one.

    A required member keeps its own: the kind of a block need not be given where a block is made.
    """
    for name, member in schema.get("properties", {}).items():
        if name in schema.get("required", ()):
            continue
        if (default := member.pop("default", None)) is not None and "const" not in member:
            text = f"{member.get('description', '')} Default: `{json.dumps(default)}`."
            member["description"] = text.strip()
