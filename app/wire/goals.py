"""Goals as a client declares them: exactly as strict as the published client, which reads them."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidatorFunctionWrapHandler, WrapValidator
from typing_extensions import TypeAliasType

from app.kit.written_order import WrittenOrder
from app.wire.messages import WireModel

# More of one turn are not easier for a model to keep in mind.
MAX_GOALS = 5
_MAX_ENTRIES = 50
_MAX_KEY = 100
_MAX_MEANING = 500
_LABEL = re.compile(r"[a-zA-Z0-9_\-]+")


def _labels(vocabulary: dict[str, str]) -> dict[str, str]:
    for key in vocabulary:
        if not _LABEL.fullmatch(key):
            raise ValueError(
                f"the key {key[:_MAX_KEY]!r} is not a label: letters, digits, _ and - only"
            )
    return _meanings(vocabulary)


def _names(vocabulary: dict[str, str]) -> dict[str, str]:
    for key in vocabulary:
        if not key.strip() or len(key) > _MAX_KEY:
            raise ValueError(
                f"the key {key[:_MAX_KEY]!r} must not be blank, nor longer than {_MAX_KEY}"
                " characters"
            )
    return _meanings(vocabulary)


def _meanings(vocabulary: dict[str, str]) -> dict[str, str]:
    for key, meaning in vocabulary.items():
        if not meaning.strip() or len(meaning) > _MAX_MEANING:
            raise ValueError(
                f"what {key!r} means must not be blank, nor longer than {_MAX_MEANING} characters"
            )
    return vocabulary


Guidance: TypeAlias = Annotated[str, Field(min_length=1, max_length=4_000)]
EntityId: TypeAlias = Annotated[str, Field(max_length=500, examples=["ds_01k8zq5d3v"])]


class DatasetSummaryGoal(WrittenOrder, WireModel):
    """A summary of a dataset is to be written; it is kept with the dataset."""

    goal_type: Literal["dataset_summary"]
    dataset_id: EntityId = Field(description="The dataset.")
    summary_format_spec_prompt: Guidance | None = Field(
        None, description="What the summary is to look like."
    )


class DatasetTriageGoal(WrittenOrder, WireModel):
    """Decides of each label whether it applies to a dataset; it becomes a tag then."""

    goal_type: Literal["dataset_triage"]
    dataset_id: EntityId = Field(description="The dataset.")
    label_vocabulary: Annotated[
        dict[str, str], Field(min_length=1, max_length=_MAX_ENTRIES), AfterValidator(_labels)
    ] = Field(description="The labels, and what each means.")


class CreateEventsGoal(WrittenOrder, WireModel):
    """Events are to be found in a dataset."""

    goal_type: Literal["create_events"]
    dataset_id: EntityId = Field(description="The dataset.")
    event_vocabulary: Annotated[
        dict[str, str], Field(min_length=1, max_length=_MAX_ENTRIES), AfterValidator(_names)
    ] = Field(description="The names that an event may have, and what each means.")
    tag_vocabulary: Annotated[
        dict[str, str], Field(max_length=_MAX_ENTRIES), AfterValidator(_names)
    ] = Field({}, description="The tags that an event may have, and when each applies.")
    collection_id: EntityId | None = Field(
        None, description="The collection of events that each of them is put into."
    )
    event_focus_prompt: Guidance | None = Field(None, description="What to look for.")


_KINDS: dict[str, type[WireModel]] = {
    "dataset_summary": DatasetSummaryGoal,
    "dataset_triage": DatasetTriageGoal,
    "create_events": CreateEventsGoal,
}


def _goal(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Reads a goal as its kind: a fault has the place that it has in the input."""
    match value:
        case {"goal_type": str(kind)} if kind in _KINDS:
            return _KINDS[kind].model_validate(value)
        case _:
            return handler(value)


AgentGoal = TypeAliasType(
    "AgentGoal",
    Annotated[
        DatasetSummaryGoal | DatasetTriageGoal | CreateEventsGoal,
        Field(discriminator="goal_type"),
        WrapValidator(_goal),
    ],
)
"""What the turn is to bring about; `goal_type` says which kind."""

Goals: TypeAlias = Annotated[list[AgentGoal] | None, Field(max_length=MAX_GOALS)]
