"""What an agent is: a request template, its declared variables, and what must hold between them."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self, TypeAlias

from pydantic import ConfigDict, Field, field_validator, model_validator

from app.agents.placeholders import NAME_PATTERN, find_placeholders, placeholders_in_keys
from app.errors import BadRequestError, FieldError
from app.kit.written_order import WrittenOrder
from app.wire.messages import WireModel
from app.wire.names import Name
from app.wire.thread_requests import StartAgentThreadRequest

_MAX_ERRORS = 100  # of one answer: enough to mend a template, too few to flood a client

_TEMPLATE_EXAMPLE: dict[str, Any] = {
    "messages": [
        {
            "role": "user",
            "content": [{"content_type": "text", "text": "Explain {{topic}} in one sentence."}],
        }
    ],
    "system_prompt": "You are a patient teacher.",
}
_CREATE_EXAMPLE: dict[str, Any] = {
    "name": "explainer",
    "description": "Explains a topic.",
    "request_template": _TEMPLATE_EXAMPLE,
    "variables": [{"name": "topic", "description": "What to explain."}],
}


class TemplateVariableType(StrEnum):
    """What a variable's value must be when the agent is launched; all are put in as text."""

    STRING = "string"
    DATASET_ID = "dataset_id"
    DEVICE_ID = "device_id"
    COLLECTION_ID = "collection_id"


class CollectionContentType(StrEnum):
    """What a collection holds."""

    DATASET = "dataset"
    EVENT = "event"
    FILE = "file"
    SESSION = "session"


class TemplateVariable(WrittenOrder, WireModel):
    """A declared variable: a placeholder of the template that is filled at launch."""

    name: str = Field(
        description="As written between the braces.",
        pattern=f"^{NAME_PATTERN}$",
        max_length=200,
        examples=["topic", "dataset.id"],
    )
    type: TemplateVariableType = Field(
        TemplateVariableType.STRING,
        description="Ids, or names, must exist in the org at launch.",
    )
    description: str | None = Field(None, description="What to fill in.", max_length=10_000)
    required: bool = Field(
        default=True, description="Whether a launch must give a value when there is no default."
    )
    default: str | None = Field(
        None, description="Used when a launch gives no value.", max_length=1_000_000
    )
    collection_content_type: CollectionContentType | None = Field(
        None, description="What the collection must hold; only with type `collection_id`."
    )

    @model_validator(mode="after")
    def _resolvable(self) -> Self:
        if not self.required and self.default is None:
            raise ValueError(f"variable {self.name!r} is optional and must have a default")
        if self.collection_content_type and self.type is not TemplateVariableType.COLLECTION_ID:
            raise ValueError(
                f"variable {self.name!r} has a collection_content_type, which needs type"
                " 'collection_id'"
            )
        return self


Description: TypeAlias = Annotated[str, Field(max_length=10_000)]
Variables: TypeAlias = Annotated[list[TemplateVariable], Field(max_length=500)]


class CreateAgentRequest(WireModel):
    """Declares an agent."""

    model_config = ConfigDict(json_schema_extra={"example": _CREATE_EXAMPLE})

    name: Name = Field(description="Unique in the org.")
    description: Description | None = Field(None, description="What the agent is for.")
    request_template: StartAgentThreadRequest = Field(
        description="What a launch starts a thread with, once its placeholders are filled."
    )
    variables: Variables = Field(
        [], description="Exactly the placeholders of the template, each once."
    )


def _omitted() -> Any:
    """Stands where nothing was given; `model_fields_set` says what was, and null is refused."""
    return None


class UpdateAgentRequest(WireModel):
    """Changes an agent: what is left out is kept; null clears the description."""

    model_config = ConfigDict(json_schema_extra={"example": {"description": "Explains things."}})

    name: Name = Field(default_factory=_omitted, description="Unique in the org.")
    description: Description | None = Field(
        default_factory=_omitted, description="What the agent is for; null clears it."
    )
    request_template: StartAgentThreadRequest = Field(
        default_factory=_omitted, description="Replaces the template as a whole."
    )
    variables: Variables = Field(
        default_factory=_omitted, description="Replaces the declared variables as a whole."
    )

    @field_validator("name", "request_template", "variables", mode="before")
    @classmethod
    def _not_null(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value


class _Declared(WireModel):
    """What an agent says of itself, now or at a revision."""

    agent_id: str = Field(description="Stays the same for life.", examples=["agt_01k8z…"])
    revision: int = Field(description="Counts the agent's changes, from 1.")
    name: str = Field(description="Unique in the org.")
    description: str | None = Field(description="What the agent is for.")
    request_template: StartAgentThreadRequest = Field(description="As it was saved.")
    variables: list[TemplateVariable] = Field(description="The template's placeholders.")
    created: datetime = Field(description="When it was saved first (a revision: when it was made).")
    created_by: str = Field(description="Id of the user who did.")


class AgentRecord(_Declared):
    """An agent as it is now."""

    org_id: str = Field(description="The org that owns the agent.")
    modified: datetime = Field(description="When it was changed last.")
    modified_by: str = Field(description="Id of the user who changed it.")


class AgentRevisionRecord(_Declared):
    """An agent as it was after one change."""


def check_declaration(template: dict[str, Any], variables: list[TemplateVariable]) -> None:
    """Holds the placeholders of a template (as JSON) and the declared variables to each other.

    Raises:
        BadRequestError: a placeholder is not declared or stands in a dict key, or a variable is
            not used or declared twice; every fault is named with its place.
    """
    errors = [*_template_faults(template, variables), *_variable_faults(template, variables)]
    if errors:
        raise BadRequestError(
            "The template's placeholders and the declared variables do not fit: "
            + "; ".join(error["msg"] for error in errors[:3])
            + ("; …" if len(errors) > 3 else "")  # noqa: PLR2004 - as many as read well in one line
            + ".",
            errors=errors[:_MAX_ERRORS],
        )


def _template_faults(
    template: dict[str, Any], variables: list[TemplateVariable]
) -> Iterator[FieldError]:
    for loc, name in placeholders_in_keys(template, ("request_template",)):
        yield {"loc": [*loc], "msg": f"placeholder {name!r} stands in a key, only values may"}
    declared = {variable.name for variable in variables}
    undeclared = dict.fromkeys(
        hit for hit in find_placeholders(template, ("request_template",)) if hit[1] not in declared
    )
    for loc, name in undeclared:
        yield {"loc": [*loc], "msg": f"placeholder {name!r} is not declared in variables"}


def _variable_faults(
    template: dict[str, Any], variables: list[TemplateVariable]
) -> Iterator[FieldError]:
    used = {name for _, name in find_placeholders(template)}
    seen: Counter[str] = Counter()
    for index, variable in enumerate(variables):
        loc: list[str | int] = ["variables", index, "name"]
        seen[variable.name] += 1
        if seen[variable.name] > 1:
            yield {"loc": loc, "msg": f"variable {variable.name!r} is declared more than once"}
        elif variable.name not in used:
            yield {"loc": loc, "msg": f"variable {variable.name!r} is not used in the template"}
