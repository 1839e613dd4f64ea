"""Where in a manifest a fault of a model is: in the manifest's own spelling."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel


def spelled(loc: Sequence[str | int], model: type[BaseModel]) -> list[str | int]:
    """A place in a model as its manifest spells it: names of fields in camelCase."""
    return [part for part, _ in _walk(loc, model)]


def known_fields(loc: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """The fields that may stand where an unknown one stands, as manifests spell them."""
    *_, (_, models) = [("", [model]), *_walk(loc[:-1], model)]
    return sorted({name for found in models for name in _spellings(found).values()})


def _walk(
    loc: Sequence[str | int], model: type[BaseModel]
) -> Iterator[tuple[str | int, list[type[BaseModel]]]]:
    """Each part of a place, and the models that may be there.

    A part that is no field is an index, a key of a free mapping, or which of several types it is.
    """
    models = [model]
    for part in loc:
        field = next((one for one in models if part in _spellings(one)), None)
        if field is not None and isinstance(part, str):
            spelling = _spellings(field)[part]
            name = next(n for n, s in _names(field).items() if s == spelling)
            models = list(_models(field.model_fields[name].annotation))
            yield spelling, models
        else:
            yield part, models


def _names(model: type[BaseModel]) -> dict[str, str]:
    return {name: info.alias or to_camel(name) for name, info in model.model_fields.items()}


def _spellings(model: type[BaseModel]) -> dict[str | int, str]:
    """The manifest's spelling of each field, by all that a fault may call it."""
    names = _names(model)
    by_name: dict[str | int, str] = dict(names.items())
    return {**by_name, **{spelling: spelling for spelling in names.values()}}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that may be somewhere in a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)
