"""The way from a document to a manifest: envelope, metadata, and a spec by the rules of a kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from app.errors import BadRequestError, ConflictError, FieldError, Loc
from app.kit.invalid import InvalidValueError
from app.manifests.model.metadata import ManifestModel, Metadata, check_name
from app.manifests.model.spelling import known_fields, spelled

API_VERSION = "statewright/v1"
_MAX_ERRORS = 50
_MAX_PART = 100  # characters of a key: enough to find it
_WORDS = {"missing": "missing", "extra_forbidden": "unknown field"}

SpecT = TypeVar("SpecT", bound=ManifestModel)


class Envelope(ManifestModel):
    """What every document has. `status` is read-only: what is sent of it is dropped."""

    api_version: Literal["statewright/v1"]
    kind: str = Field(min_length=1, max_length=100)
    metadata: dict[str, Any]
    spec: dict[str, Any] | None = Field(None, description="An empty one may be left out.")
    status: Any = None


@dataclass(frozen=True, slots=True)
class Manifest(Generic[SpecT]):
    """A document of a known kind, checked.

    Attributes:
        kind: as it is spelled.
        metadata: of the resource.
        spec: what the kind declares.
        key_order: the keys of `metadata` and `spec`, as they were written.
    """

    kind: str
    metadata: Metadata
    spec: SpecT
    key_order: dict[str, list[str]]

    @property
    def name(self) -> str:
        """The name of the resource."""
        return self.metadata.name

    def check_version(self, current: str | None) -> None:
        """Requires that the manifest changes the current version, if it names one.

        Args:
            current: version of the resource; None if there is no resource.

        Raises:
            ConflictError: it names another version.
        """
        given = self.metadata.resource_version
        if given is not None and given != current:
            now = f"at version {current}" if current else "not there"
            raise ConflictError(
                f"The manifest changes version {given} of {self.kind} {self.name!r}, which is "
                f"{now} by now. Describe it again, and apply your change to that."
            )


def read_envelope(document: dict[str, Any]) -> Envelope:
    """The envelope of a document.

    Raises:
        BadRequestError: names each field that is missing, unknown or of the wrong type.
    """
    with valid_input(Envelope):
        return Envelope.model_validate(document)


def read_manifest(
    envelope: Envelope,
    kind: str,
    spec_model: type[SpecT],
    *,
    free_names: bool,
    hide_unknown_fields: bool,
) -> Manifest[SpecT]:
    """The manifest in an envelope, by the rules of its kind.

    Args:
        envelope: of the document.
        kind: as it is spelled.
        spec_model: what the spec may say.
        free_names: whether names may be any printable text.
        hide_unknown_fields: whether errors leave out names of unknown fields, too.

    Raises:
        BadRequestError: names each fault with its path.
    """
    with valid_input(Metadata, "metadata"):
        metadata = Metadata.model_validate(envelope.metadata)
    try:
        check_name(metadata.name, free=free_names)
    except InvalidValueError as error:
        fault: FieldError = {"loc": ["metadata", "name"], "msg": str(error)}
        raise bad_manifest([fault]) from None
    with valid_input(spec_model, "spec", hide_unknown_fields=hide_unknown_fields):
        spec = spec_model.model_validate(envelope.spec or {})
    order = {"metadata": list(envelope.metadata), "spec": list(envelope.spec or {})}
    return Manifest(kind, metadata, spec, order)


@contextmanager
def valid_input(
    model: type[BaseModel], *loc: str | int, hide_unknown_fields: bool = False
) -> Iterator[None]:
    """Turns pydantic's error into ours: each place is the manifest's, and no value is shown.

    Args:
        model: of the input of the block.
        loc: where in the document that input is.
        hide_unknown_fields: whether names of unknown fields are left out, too.

    Raises:
        BadRequestError: names each fault with its place; of an unknown field, the known ones.
    """
    try:
        yield
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        faults = [_fault(one, model, loc, hide_unknown_fields) for one in found[:_MAX_ERRORS]]
        raise bad_manifest(faults) from None


@contextmanager
def faults_at(places: Mapping[str, Loc]) -> Iterator[None]:
    """Tells faults of a function's arguments where the manifest has them.

    Args:
        places: the place in the manifest, by the name of the argument.
    """
    try:
        yield
    except BadRequestError as error:
        for fault in error.errors:
            if fault["loc"]:  # that there are more than are listed is said of no place
                name, *rest = fault["loc"]
                fault["loc"] = [*places.get(str(name), (name,)), *rest]
        raise bad_manifest(error.errors) from None


def bad_manifest(errors: list[FieldError]) -> BadRequestError:
    """The error of a document: the first fault in words, all of them in `errors`."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return BadRequestError(f"{place}: {first['msg']}{more}", errors=errors)


def _fault(fault: ErrorDetails, model: type[BaseModel], loc: Loc, hide: bool) -> FieldError:
    place = [*loc, *spelled(fault["loc"], model)]
    msg = _WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    if fault["type"] == "extra_forbidden":
        msg = f"{msg}; there are {', '.join(known_fields(fault['loc'], model)) or 'none'}"
        place[-1] = "…" if hide else place[-1]
    cut = [part[:_MAX_PART] if isinstance(part, str) else part for part in place]
    return {"loc": cut, "msg": msg, "type": fault["type"]}
