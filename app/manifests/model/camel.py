"""Renames the fields of models that speak snake_case elsewhere: camelCase in manifests.

Only the names of declared fields are renamed; the keys of free mappings stay as they are.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from app.manifests.text.limits import refuse

_Names = Callable[[str], tuple[str, str]]


@cache
def _camel(field: str) -> tuple[str, str]:
    return field, to_camel(field)


@cache
def _snake(field: str) -> tuple[str, str]:
    return to_camel(field), field


def to_snake_keys(value: Any, model: Any) -> Any:
    """A value as a manifest says it, in the names of `model`; those are taken too.

    Raises:
        BadRequestError: a field is there in both spellings.
    """
    return _renamed(value, model, _snake)


def to_camel_keys(value: Any, model: Any) -> Any:
    """A value in the names of `model`, as a manifest says it."""
    return _renamed(value, model, _camel)


def camel_schema(schema: Any) -> Any:
    """A JSON Schema whose declared properties are renamed."""
    if isinstance(schema, list):
        return [camel_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {key: camel_schema(value) for key, value in schema.items()}
    if isinstance(renamed.get("properties"), dict):
        renamed["properties"] = {to_camel(k): v for k, v in renamed["properties"].items()}
    if isinstance(renamed.get("required"), list):
        renamed["required"] = [to_camel(name) for name in renamed["required"]]
    return renamed


def _renamed(value: Any, model: Any, names: _Names) -> Any:
    if isinstance(value, list):
        return [_renamed(item, model, names) for item in value]
    if not isinstance(value, dict):
        return value
    fields = _fields(tuple(_models(model)), names)
    if not fields:
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        new_key, annotation = fields.get(key, (key, None))
        if new_key in result:
            refuse(f"the field {key} is there in two spellings")
        result[new_key] = _renamed(item, annotation, names)
    return result


@cache
def _fields(models: tuple[type[BaseModel], ...], names: _Names) -> dict[str, tuple[str, Any]]:
    """The fields by the name that each has before, the name that it gets, and its type."""
    return {
        names(field)[0]: (names(field)[1], info.annotation)
        for found in models
        for field, info in found.model_fields.items()
    }


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may be, through lists, unions and aliases."""
    annotation = getattr(annotation, "__value__", annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif annotation is not None and getattr(annotation, "__origin__", None) is not dict:
        for argument in get_args(annotation):
            yield from _models(argument)
