"""What every manifest says of itself, and the base of what its spec says."""

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from app.kit.invalid import InvalidValueError
from app.kit.written_order import WrittenOrder
from app.manifests.model.selector import LabelKey, LabelValue
from app.wire.names import printable

NAME_PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
_NAME = re.compile(NAME_PATTERN)
_MAX_FREE_NAME = 200
_SEMANTIC_VERSION = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$"
)


class ManifestModel(WrittenOrder):
    """camelCase outside, snake_case inside; a field that is not declared is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )


def _stripped(value: Any) -> Any:
    return value.strip(" ") if isinstance(value, str) else value


def _one_mapping(value: Any) -> Any:
    """Annotations as one mapping, where they are a list of mappings with one key each."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return value
    pairs = [pair for item in value for pair in item.items()]
    if len(dict(pairs)) < len(pairs):
        raise InvalidValueError("the same key twice")
    return dict(pairs)


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Key: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
_Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]


class Metadata(ManifestModel):
    """The metadata of every kind; which names are allowed is the kind's own rule."""

    name: Annotated[str, BeforeValidator(_stripped)] = Field(
        description="Unique in the org and kind.", min_length=1
    )
    description: str | None = Field(None, description="What it is for.", max_length=10_000)
    version: Annotated[str, Field(pattern=_SEMANTIC_VERSION, max_length=100)] | None = Field(
        None, description="Your version of it, such as 1.0.0.", examples=["1.0.0"]
    )
    tags: list[_Tag] = Field([], description="Words to find it by.", max_length=100)
    annotations: Annotated[
        dict[_Key, Annotated[str, Field(max_length=10_000)]], BeforeValidator(_one_mapping)
    ] = Field({}, description="Notes for people and programs.", max_length=100)
    labels: dict[LabelKey, LabelValue] = Field(
        {}, description="Short notes to select by; as Kubernetes has them.", max_length=100
    )
    resource_version: Annotated[
        Annotated[str, Field(pattern="^[0-9]{1,18}$")] | None, BeforeValidator(_as_text)
    ] = Field(
        None,
        description="The version that this changes: an apply is refused if it is another by now.",
    )

    @field_validator("tags")
    @classmethod
    def _no_tag_twice(cls, tags: list[str]) -> list[str]:
        if len(set(tags)) < len(tags):
            raise InvalidValueError("the same tag twice")
        return tags

    def stored(self) -> dict[str, Any]:
        """All but the name and the version of the resource; what is empty is left out."""
        dumped = self.model_dump(exclude={"name", "resource_version"})
        return {field: value for field, value in dumped.items() if value not in (None, [], {})}


def check_name(name: str, *, free: bool) -> None:
    """Holds a name to the rule of its kind.

    Args:
        name: of the resource.
        free: whether the kind's names may be any printable text that is not a path.

    Raises:
        InvalidValueError: says what a name must be.
    """
    if not free:
        if not _NAME.fullmatch(name):
            raise InvalidValueError(
                "1 to 63 lower-case letters, digits, - and _, with a letter or digit at each end"
            )
        return
    if len(name) > _MAX_FREE_NAME:
        raise InvalidValueError(f"at most {_MAX_FREE_NAME} characters")
    printable(name)
    if name.startswith("/") or "\\" in name or {".", ".."} & set(name.split("/")):
        raise InvalidValueError("must not look like a path")
