"""A session model made at run time from the JSON Schema properties of a flow's manifest.

Values stay plain JSON: an object is a dict. A property without a default starts as null, which
stands for "not known yet", and takes null.
"""

import keyword
import re
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, Required, Self, Union

from pydantic import (
    AfterValidator,
    AllowInfNan,
    ConfigDict,
    Field,
    JsonValue,
    Strict,
    TypeAdapter,
    ValidationError,
    create_model,
    with_config,
)
from typing_extensions import TypedDict, override

from app.errors import BadRequestError, FieldError
from app.flows.manifest.constraints import (
    TYPES_OF,
    bounded_checks,
    constraint,
    no_checks,
)
from app.flows.model.session_model import SessionModel
from app.kit.invalid import InvalidValueError

MAX_DEPTH = 16
MAX_PROPERTIES = 500

# What templates and guards see beside the fields: a field of that name would hide it.
RENDER_NAMES = frozenset(
    {
        "chat_history",
        "current_datetime",
        "dialogue",
        "parsed_previous_result",
        "previous_result",
        "state_id",
        "state_name",
        "task_error",
    }
)
_RESERVED = RENDER_NAMES | {"machine"} | SessionModel.model_fields.keys() | set(dir(SessionModel))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)

_SCALARS: dict[str, Any] = {
    "string": Annotated[str, Strict()],
    "integer": Annotated[int, Strict()],
    "number": Annotated[int, Strict()] | Annotated[float, Strict(), AllowInfNan(False)],
    "boolean": Annotated[bool, Strict()],
    "null": None,
}
_TYPES = [*_SCALARS, "array", "object"]
_KEYWORDS_OF = {"array": {"items"}, "object": {"properties", "required"}}
_NOTES = ("title", "description", "enum")
_KEYWORDS = {"type", "default", *_NOTES, "items", "properties", "required", *TYPES_OF}

Loc = list[str | int]


def model_from_schema(name: str, properties: dict[str, Any]) -> type[SessionModel]:
    """Makes the class that carries these properties beside the built-in fields.

    Args:
        name: of the class. Keep it constant; the class is freed with its last reference.
        properties: JSON Schema by property name. Known are type (one or a list), enum, default,
            description and title; inside objects properties and required; inside arrays items; and
            those of `constraints`.

    Raises:
        BadRequestError: the properties are wrong; `errors` lists every fault, each `loc` starting
            at the property's name.
    """
    reader = _SchemaReader()
    fields = reader.fields(properties)
    if reader.faults:
        raise BadRequestError("The model's properties are not valid", errors=reader.faults)
    return create_model(name, __base__=_ManifestModel, **fields)


class _ManifestModel(SessionModel):
    """Bounds what is checked of seed data, and takes what is stored as it was checked then."""

    @classmethod
    @override
    def seed(cls, seed_data: dict[str, Any]) -> Self:
        with bounded_checks():
            return super().seed(seed_data)

    @classmethod
    @override
    def deserialize(cls, data: bytes) -> Self:
        with no_checks():
            return super().deserialize(data)


class _SchemaReader:
    """Turns schemas into annotations and gathers every fault on the way."""

    def __init__(self) -> None:
        self.faults: list[FieldError] = []
        self._seen = 0

    def fields(self, properties: object) -> dict[str, Any]:
        """Each property as pydantic wants it: (annotation, field)."""
        if not isinstance(properties, dict):
            self._fault([], "must be an object that holds a schema for each property")
            return {}
        return {
            str(name): self._field(schema, [str(name)])
            for name, schema in properties.items()
            if self._is_free(name)
        }

    def _is_free(self, name: object) -> bool:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name):
            reason = "a property's name is a letter, then letters, digits or _, and no keyword"
        elif name in _RESERVED:
            reason = "this name is reserved"
        else:
            return True
        self._fault([str(name)], reason)
        return False

    def _field(self, schema: object, loc: Loc) -> tuple[Any, Any]:
        faults = len(self.faults)
        annotation = self._annotation(schema, loc)
        if not isinstance(schema, dict) or "default" not in schema:
            return annotation | None, Field(default=None)
        default = schema["default"]
        if len(self.faults) == faults:
            try:
                TypeAdapter(annotation).validate_python(default)
            except ValidationError as error:
                self._fault([*loc, "default"], error.errors()[0]["msg"])
        return annotation, Field(default=default)  # pydantic copies mutable defaults

    def _annotation(self, schema: object, loc: Loc) -> Any:
        if not isinstance(schema, dict):
            self._fault(loc, "must be an object: a schema")
            return Any
        types = self._types(schema, loc)
        if not self._within_limits(loc) or not self._keywords_fit(schema, types, loc):
            return Any
        options = tuple(self._of_type(kind, schema, loc) for kind in types)
        annotation = Union[options] if options else JsonValue  # noqa: UP007 - a tuple made at run time
        if "enum" in schema:
            annotation = Annotated[annotation, AfterValidator(self._choice(schema["enum"], loc))]
        if (check := constraint(schema, loc, self.faults)) is not None:
            annotation = Annotated[annotation, AfterValidator(check)]
        # What pydantic cannot tell from the annotation, for readers of the model's own schema.
        extra = {word: schema[word] for word in (*_NOTES, *TYPES_OF) if word in schema}
        return Annotated[annotation, Field(json_schema_extra=extra)] if extra else annotation

    def _types(self, schema: dict[str, Any], loc: Loc) -> list[str]:
        """The schema's types; none means any JSON value."""
        if "type" not in schema:
            return []
        given = schema["type"]
        types = given if isinstance(given, list) else [given]
        if types and all(isinstance(kind, str) and kind in _TYPES for kind in types):
            return types
        self._fault([*loc, "type"], f"must be one or a list of {', '.join(_TYPES)}")
        return []

    def _within_limits(self, loc: Loc) -> bool:
        self._seen += 1
        if self._seen == MAX_PROPERTIES + 1:
            self._fault(loc, f"a model has at most {MAX_PROPERTIES} properties, nested ones too")
        if len(loc) > 2 * MAX_DEPTH:  # each level adds a keyword and a name
            self._fault(loc, f"schemas nest at most {MAX_DEPTH} levels deep")
            return False
        return self._seen <= MAX_PROPERTIES

    def _keywords_fit(self, schema: dict[str, Any], types: list[str], loc: Loc) -> bool:
        allowed = _KEYWORDS.difference(
            *(words for kind, words in _KEYWORDS_OF.items() if kind not in types)
        )
        allowed -= {word for word, kinds in TYPES_OF.items() if not set(kinds) & set(types)}
        if len(loc) > 1:
            allowed -= {"default"}
        for word in schema:
            if word not in allowed:
                self._fault([*loc, str(word)], self._why_not(word))
        return all(word in allowed for word in schema)

    @staticmethod
    def _why_not(word: object) -> str:
        if word == "default":
            return "only a property of the model itself has a default"
        for kind, words in _KEYWORDS_OF.items():
            if word in words:
                return f"needs the type {kind}"
        if word in TYPES_OF:
            return f"needs the type {' or '.join(TYPES_OF[str(word)])}"
        return "this keyword is not supported"

    def _of_type(self, kind: str, schema: dict[str, Any], loc: Loc) -> Any:
        if kind == "array":
            if "items" not in schema:
                return list[JsonValue]
            item = self._annotation(schema["items"], [*loc, "items"])
            return list[item]  # type: ignore[valid-type]  # made at run time
        if kind == "object":
            return self._object(schema, loc)
        return _SCALARS[kind]

    def _object(self, schema: dict[str, Any], loc: Loc) -> Any:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, dict):
            self._fault([*loc, "properties"], "must be an object")
            return Any
        if not isinstance(required, list) or not all(
            isinstance(name, str) and name in properties for name in required
        ):
            self._fault([*loc, "required"], "must be a list of names of properties")
            return Any
        members = {
            str(name): (Required if name in required else NotRequired)[
                self._annotation(part, [*loc, "properties", str(name)])
            ]
            for name, part in properties.items()
        }
        if not members:
            return dict[str, JsonValue]
        # As in JSON Schema, members that are not declared are kept.
        made = TypedDict("Object", members)  # type: ignore[misc]  # made at run time
        return with_config(ConfigDict(extra="allow"))(made)

    def _choice(self, choices: object, loc: Loc) -> Callable[[Any], Any]:
        if not isinstance(choices, list) or not choices or not all(map(_is_scalar, choices)):
            self._fault([*loc, "enum"], "must be a list of strings, numbers, booleans or null")
            return lambda value: value
        # In JSON 1 and 1.0 are the same, but 1 and true are not.
        known = {(isinstance(choice, bool), choice) for choice in choices}

        def check(value: Any) -> Any:
            if not _is_scalar(value) or (isinstance(value, bool), value) not in known:
                raise InvalidValueError(f"must be one of {', '.join(map(repr, choices))}")
            return value

        return check

    def _fault(self, loc: Loc, reason: str) -> None:
        self.faults.append({"loc": loc, "msg": reason})


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
