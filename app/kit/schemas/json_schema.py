"""JSON Schemas (2020-12) that clients send, and values that are checked against them."""

from itertools import islice
from typing import Any

import jsonschema_rs

from app.kit.invalid import InvalidValueError
from app.kit.schemas.pattern_work import KEY_PATTERNS, PatternWork, chars_of, check_keys
from app.kit.schemas.schema_cost import TooMuchWorkError, check_work
from app.kit.storable import Limits, NotStorableError, check_json

MAX_CHARS = 64_000  # of one schema
MAX_FAULTS = 20
_MAX_TEXT = 300
_NESTED: list[Any] = [[[[]]]]  # what any schema must be able to check something like
_LIMITS = Limits(depth=40, values=10_000, chars=MAX_CHARS)
# By the work of a check and the characters of the value, all of which each fault may quote: with so
# much, faults take 100 MB.
_MOST_QUOTED = 1_000_000_000
_NOT_CHECKED = "is too large, or nests too deep, to be checked against this schema"
_NOT_TOLD = "does not fit the schema, and is too large for its faults to be listed"


def check_schema(schema: dict[str, Any], *, of_object: bool = True) -> None:
    """Refuses what is no JSON Schema, is too large, or refers to another document.

    Args:
        schema: what is to be one.
        of_object: whether only an object may fit it.

    Raises:
        InvalidValueError: the text says what is wrong.
    """
    check_size(schema)
    if of_object and schema.get("type", "object") != "object":
        raise InvalidValueError("the schema must be that of an object")
    work = PatternWork()
    _validator(schema, work)
    work.check_patterns()
    try:
        check_work(schema, _NESTED)
    except TooMuchWorkError:
        raise InvalidValueError("the schema refers to itself too often, or for ever") from None


def check_size(schema: dict[str, Any]) -> None:
    """Refuses a schema that is too large, whatever it says.

    Raises:
        InvalidValueError: the text says what is wrong.
    """
    try:
        check_json(schema, _LIMITS)
    except NotStorableError as error:
        raise InvalidValueError(f"the schema is not usable: {error}") from None


def object_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, saying that it is that of an object: servers of models want it said."""
    return {"type": "object", "properties": {}, **schema}


def schema_faults(schema: dict[str, Any], value: object) -> list[str]:
    """What of a value does not fit a schema that `check_schema` let pass; the first 20 faults."""
    places = [
        ("".join(f"[{part!r}]" for part in place), text)
        for place, text in schema_findings(schema, value)
    ]
    return [f"{place}: {text}" if place else text for place, text in places]


def schema_findings(schema: dict[str, Any], value: object) -> list[tuple[list[str | int], str]]:
    """The same faults, each with its place: keys and indexes from the outside in."""
    patterns = PatternWork()
    try:
        work = check_work(schema, value)
        check_keys(schema, value)
        validator = _validator(schema, patterns)
        fits = validator.is_valid(value)
    except InvalidValueError:  # too much work; of an earlier release, also a larger pattern
        return [([], _NOT_CHECKED)]
    if patterns.exceeded:
        return [([], _NOT_CHECKED)]
    if fits:
        return []
    if work * chars_of(value) > _MOST_QUOTED:
        return [([], _NOT_TOLD)]
    errors = islice(validator.iter_errors(value), MAX_FAULTS)
    return [(list(error.instance_path), _cut(error.message)) for error in errors]


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"


def _validator(schema: dict[str, Any], patterns: PatternWork) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            pattern_options=KEY_PATTERNS,
            retriever=_refuse,
            keywords={"pattern": patterns.keyword()},
        )
    except jsonschema_rs.ValidationError as error:
        raise InvalidValueError(f"it is no JSON Schema: {_reason(error)}") from None
    except ValueError:
        raise InvalidValueError("it is no JSON Schema") from None


def _reason(error: jsonschema_rs.ValidationError) -> str:
    """What is wrong with a schema, without what is written there."""
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Referencing):
        return "it may only refer to itself, and to what is there"
    place = ".".join(map(str, error.instance_path))[:_MAX_TEXT]
    return f"{place} is not what must be there" if place else "it is no object"


def _refuse(_uri: str) -> Any:
    raise InvalidValueError("a schema may only refer to itself")
