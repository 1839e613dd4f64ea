"""`statewright api-resources` and `explain`: which kinds there are, and what their fields mean."""

from collections.abc import Iterator
from textwrap import fill
from typing import Annotated, Any

import typer

from app.cli.client import open_client
from app.cli.failures import CommandError, one_line_errors
from app.cli.printing.output import Format, FormatOption, say, say_document, say_rows

_WIDTH = 80
_Schema = dict[str, Any]


def api_resources(*, output: FormatOption = Format.TABLE) -> None:
    """List the kinds of resources; -o wide with the verbs that each has."""
    with one_line_errors(), open_client() as client:
        kinds = client.ask("api-resources")["data"]
        if output in (Format.YAML, Format.JSON):
            say_document(kinds, output)
        elif output is Format.NAME:
            say_rows([[kind["name"]] for kind in kinds])
        else:
            wide = output is Format.WIDE
            heading = ["NAME", "KIND", "OTHER-NAMES", *(["VERBS"] if wide else [])]
            rows = [
                [
                    *(kind["name"], kind["kind"], ",".join(kind["otherNames"]) or "-"),
                    *([",".join(kind["verbs"])] if wide else []),
                ]
                for kind in kinds
            ]
            say_rows([heading, *rows])


def explain(
    field: Annotated[
        str,
        typer.Argument(metavar="KIND[.FIELD…]", help="Such as agent.spec.requestTemplate.messages"),
    ],
    *,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Names and types of all fields below it.")
    ] = False,
) -> None:
    """Tell what a field of a kind's manifests means, and which fields it has."""
    with one_line_errors(), open_client() as client:
        kind, *path = field.split(".")
        schema = client.ask("json-schema", kind)["data"]
        found = _Explained(schema, path)
        say("\n".join(found.tree() if recursive else found.lines()))


class _Explained:
    """A place in a JSON Schema.

    Raises:
        CommandError: there is no such field; the text names those that there are.
    """

    def __init__(self, schema: _Schema, path: list[str]) -> None:
        self._root = schema
        self._path = path
        self._at = self._plain(schema)
        self._is_required = False
        for depth, name in enumerate(path):
            fields = self._fields(self._at)
            if name not in fields:
                known = ", ".join(fields) or "none"
                place = ".".join([str(schema["title"]), *path[:depth]])
                raise CommandError(f"{place} has no field {name!r}; there are {known}.")
            self._is_required = name in self._inner(self._at).get("required", ())
            self._at = fields[name]

    def lines(self) -> Iterator[str]:
        """What the place is, and each of its fields."""
        yield f"KIND:     {self._root['title']}"
        yield f"VERSION:  {self._root['properties']['apiVersion']['const']}"
        if self._path:
            required = " -required-" if self._is_required else ""
            yield f"\nFIELD: {self._path[-1]} <{self._type(self._at)}>{required}"
        yield f"\nDESCRIPTION:\n{self._text(self._at, 4)}"
        if fields := self._fields(self._at):
            yield "\nFIELDS:"
            yield from self._list(fields, self._inner(self._at).get("required", ()))

    def tree(self) -> Iterator[str]:
        """Each field below the place, and those in it."""
        yield from self._lines_below(self._at, "", ())

    def _lines_below(self, schema: _Schema, indent: str, above: tuple[int, ...]) -> Iterator[str]:
        inner = self._inner(schema)
        if id(inner) in above:  # a schema that holds itself
            return
        for name, field in self._fields(schema).items():
            yield f"{indent}{name} <{self._type(field)}>"
            yield from self._lines_below(field, indent + "  ", (*above, id(inner)))

    def _list(self, fields: dict[str, _Schema], required: Any) -> Iterator[str]:
        for name, field in fields.items():
            mark = " -required-" if name in required else ""
            yield f"  {name} <{self._type(field)}>{mark}"
            yield f"{self._text(field, 4)}\n"

    def _plain(self, schema: _Schema) -> _Schema:
        """A schema without `$ref` and without null among its alternatives."""
        while True:
            if "$ref" in schema:
                named = self._root["$defs"][schema["$ref"].rpartition("/")[2]]
                schema = named | {key: value for key, value in schema.items() if key != "$ref"}
                continue
            options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
            if len(options) != 1:
                return schema
            schema = options[0] | {key: value for key, value in schema.items() if key != "anyOf"}

    def _inner(self, schema: _Schema) -> _Schema:
        """The object that a value is, or whose lists or mappings it is of."""
        schema = self._plain(schema)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict) and "properties" not in schema:
                return self._inner(schema[key])
        return schema

    def _fields(self, schema: _Schema) -> dict[str, _Schema]:
        inner = self._inner(schema)
        options = [self._inner(one) for one in inner.get("anyOf") or inner.get("oneOf") or ()]
        found: dict[str, _Schema] = {}
        for one in (*options, inner):
            found |= one.get("properties", {})
        return {name: self._plain(field) for name, field in found.items()}

    def _type(self, schema: _Schema) -> str:
        schema = self._plain(schema)
        if "const" in schema or "enum" in schema:
            return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
        if schema.get("type") == "array":
            return f"[]{self._type(schema.get('items', {}))}"
        if isinstance(schema.get("additionalProperties"), dict):
            return f"map[string]{self._type(schema['additionalProperties'])}"
        options = schema.get("anyOf", schema.get("oneOf"))
        if options:
            return " | ".join(dict.fromkeys(self._type(one) for one in options))
        types = schema.get("type", "any")
        return " | ".join(types) if isinstance(types, list) else str(types)

    def _text(self, schema: _Schema, indent: int) -> str:
        space = " " * indent
        text = " ".join(str(schema.get("description") or "<none>").split())
        return fill(text, _WIDTH, initial_indent=space, subsequent_indent=space)
