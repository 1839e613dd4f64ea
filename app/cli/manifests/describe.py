"""`statewright describe`: a resource for people, or its manifest for programs."""

from collections.abc import Iterator
from typing import Any

from pydantic.alias_generators import to_snake

from app.cli.client import Client, ServiceError, open_client
from app.cli.failures import one_line_errors
from app.cli.manifests.targets import (
    KindsArgument,
    NamesArgument,
    SelectorOption,
    read_list,
    targets,
)
from app.cli.printing.output import Format, FormatOption, age, resource_name, say, say_document

_EVENTS = 10
_INDENT = "  "
_WIDTH = 18  # of a name, before its value


def describe(
    kinds: KindsArgument,
    names: NamesArgument = None,
    *,
    selector: SelectorOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show resources whole, with what happened last; -o yaml can be applied as it is.

    Without a name, all of the kind; of accounts that is one's own.
    """
    with one_line_errors(), open_client() as client:
        found: list[dict[str, Any]] = []
        single = False
        for kind, name in targets(kinds, names):
            if name is not None:
                found.append(client.ask("describe", kind, query={"name": name})["data"])
                single = not found[1:]
                continue
            query: dict[str, str | int] = {"selector": selector} if selector else {}
            found += read_list(client, kind, query, manifests=True).manifests
            single = False
        if output in (Format.YAML, Format.JSON):
            say_document(found[0] if single else found, output)
        elif output is Format.NAME:
            for manifest in found:
                say(resource_name(manifest["kind"], manifest["metadata"]["name"]))
        else:
            say("\n\n".join(_description(client, manifest) for manifest in found))


def _description(client: Client, manifest: dict[str, Any]) -> str:
    metadata = dict(manifest["metadata"])
    name = metadata.pop("name")
    head = {_title(key): value for key, value in metadata.items()}
    status = {_title(key): value for key, value in manifest["status"].items()}
    parts = {
        "Name": name,
        "Kind": manifest["kind"],
        **head,
        "Status": status,
        "Spec": manifest["spec"],  # its fields are spelled as they are written
    }
    return "\n".join([*_lines(parts), *_log(client, manifest["kind"], str(name))])


def _lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A line for each value, and what is in it below it."""
    for key, value in values.items():
        name = f"{indent}{key}:"
        if isinstance(value, dict | list) and value:
            yield name
            yield from _nested(value, indent + _INDENT)
        elif isinstance(value, str) and "\n" in value.strip():
            yield name
            yield from (f"{indent}{_INDENT}{line}" for line in value.strip().splitlines())
        else:
            yield f"{name.ljust(len(indent) + _WIDTH)} {_scalar(value)}"


def _nested(value: dict[str, Any] | list[Any], indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _lines(value, indent)
        return
    for item in value:
        if not isinstance(item, dict | list) or not item:
            yield f"{indent}- {_scalar(item)}"
            continue
        first, *rest = _nested(item, indent + _INDENT)
        yield f"{indent}- {first.removeprefix(indent + _INDENT)}"
        yield from rest


def _title(key: str) -> str:
    """`resourceVersion` as Resource Version."""
    return " ".join(word.capitalize() for word in to_snake(key).split("_"))


def _scalar(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "<none>"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value).strip()


def _log(client: Client, kind: str, name: str) -> Iterator[str]:
    try:
        answer = client.ask("logs", kind, query={"name": name, "i": _EVENTS})
    except ServiceError:  # it is gone meanwhile
        return
    items = answer["data"]["data"]["items"]
    yield "Log:" if items else f"{'Log:'.ljust(_WIDTH)} <none>"
    for item in items:
        text = " ".join(str(item["text"]).split())
        yield f"  {age(item['time']).ljust(5)} {text}  ({item.get('by') or '-'})"
