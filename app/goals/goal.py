"""What every kind of goal has: words for the model, a tool that achieves it, and an effect."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_MAX_TEXT = 300  # of one fault
_MAX_FAULTS = 20


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that was found in a dataset; times are nanoseconds since 1970 (UTC)."""

    id: str
    dataset_id: str
    collection_id: str | None
    name: str
    start_time: int
    end_time: int
    description: str | None
    tags: list[str]
    target_id: str


@dataclass(frozen=True, slots=True)
class GoalEffect:
    """What an achieved goal changes beside its thread.

    Attributes:
        dataset_id: whose summary and tags are set.
        summary: None leaves it.
        tags: those that the dataset gets.
        removed_tags: those that it loses.
        events: that are made.
        output: what the thread gives as its output.
    """

    dataset_id: str | None = None
    summary: str | None = None
    tags: list[str] = field(default_factory=list)
    removed_tags: list[str] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    output: dict[str, Any] | None = None


class Goal(ABC):
    """One declared goal.

    Attributes:
        kind: what it is called in threads.
        tool: the name of the tool that achieves it.
        data: the goal as it was declared.
        scope: the span of time that is looked at, its `start_time` and `end_time`, where they are
            known.
    """

    kind: ClassVar[str]
    tool: ClassVar[str]

    def __init__(self, data: Mapping[str, Any], scope: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.scope = scope or {}

    @property
    @abstractmethod
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of the tool's arguments, for this goal alone."""

    @abstractmethod
    def prompt(self) -> list[str]:
        """Lines that tell the model what is to be done."""

    @abstractmethod
    def faults(self, arguments: dict[str, Any]) -> list[str]:
        """All that is wrong with the arguments of a call."""

    @abstractmethod
    def effect(self, arguments: dict[str, Any]) -> GoalEffect:
        """What a call does whose arguments have no fault."""


def shape_faults(model: type[BaseModel], arguments: dict[str, Any]) -> list[str]:
    """What of the arguments does not have the shape of a model."""
    try:
        model.model_validate(arguments)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        return [
            f"{'.'.join(str(part) for part in fault['loc'])}: {_words(fault)}"
            for fault in faults[:_MAX_FAULTS]
        ]
    return []


def _words(fault: ErrorDetails) -> str:
    """What is wrong, for a model: of classes of ours it knows nothing."""
    return (
        "Input should be an object" if fault["type"] == "model_type" else fault["msg"][:_MAX_TEXT]
    )


def objects(value: object) -> list[dict[str, Any]]:
    """Those items of what should be a list of objects that are objects."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def vocabulary_lines(vocabulary: Mapping[str, str]) -> Iterator[str]:
    """A line for each word: what it means."""
    return (f"- {word}: {' '.join(meaning.split())}" for word, meaning in vocabulary.items())


def listed(words: Iterable[object]) -> str:
    """The first words, of maybe very many, in the text of a fault."""
    return ", ".join(repr(word)[:_MAX_TEXT] for word in islice(words, _MAX_FAULTS))
