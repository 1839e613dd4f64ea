"""Goal `create_events`: events in a dataset, of declared names and tags."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from app.goals.goal import (
    Goal,
    GoalEffect,
    NewEvent,
    listed,
    objects,
    shape_faults,
    vocabulary_lines,
)
from app.goals.text import MAX_TEXT
from app.kit.ids import new_id

MAX_EVENTS = 1_000  # of one call

_INT64 = 2**63 - 1
_Nanoseconds: TypeAlias = Annotated[int, Field(ge=-_INT64, le=_INT64)]


class _Event(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    start_time: _Nanoseconds
    end_time: _Nanoseconds
    description: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    tags: list[str] = []
    target_id: str

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_time < self.start_time:
            raise ValueError("end_time is before start_time")
        return self


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True)

    events: list[_Event] = Field(max_length=MAX_EVENTS)


class CreateEvents(Goal):
    """The model submits all events at once; there may be none."""

    kind: ClassVar[str] = "create_events"
    tool: ClassVar[str] = "achieve_create_events"

    @property
    def _tag_vocabulary(self) -> dict[str, str]:
        tags: dict[str, str] = self.data.get("tag_vocabulary", {})
        return tags

    @property
    @override
    def input_schema(self) -> dict[str, Any]:
        time = {"type": "integer", "description": "In nanoseconds since 1970 (UTC)."}
        properties: dict[str, Any] = {
            "name": {"type": "string", "enum": list(self.data["event_vocabulary"])},
            "start_time": time,
            "end_time": time,
            "description": {"type": "string"},
            "target_id": {
                "type": "string",
                "enum": [self.data["dataset_id"]],
                "description": "What the event was found in.",
            },
        }
        if self._tag_vocabulary:
            properties["tags"] = {
                "type": "array",
                "items": {"type": "string", "enum": list(self._tag_vocabulary)},
            }
        event = {
            "type": "object",
            "properties": properties,
            "required": ["name", "start_time", "end_time", "target_id"],
        }
        events = {
            "type": "array",
            "items": event,
            "maxItems": MAX_EVENTS,
            "description": "All of them; none where there are none.",
        }
        return {"type": "object", "properties": {"events": events}, "required": ["events"]}

    @override
    def prompt(self) -> list[str]:
        lines = [
            f"Find the events in {self.data['dataset_id']} that have one of these names:",
            *vocabulary_lines(self.data["event_vocabulary"]),
        ]
        if self._tag_vocabulary:
            tags = vocabulary_lines(self._tag_vocabulary)
            lines += ["Each may have some of these tags:", *tags]
        if self._span:
            lines.append(f"Each must lie within the analysis scope: {self._span}.")
        return [*lines, *filter(None, [self.data.get("event_focus_prompt")])]

    @override
    def faults(self, arguments: dict[str, Any]) -> list[str]:
        faults = shape_faults(_Arguments, arguments)
        if not faults and (outside := self._out_of_scope(arguments)):
            faults = [f"not within the analysis scope, {self._span}: events {listed(outside[:20])}"]
        return [*faults, *self._undeclared(arguments)]

    @property
    def _span(self) -> str:
        """The scope in words; empty where it has no end."""
        ends = {"from": self.scope.get("start_time"), "to": self.scope.get("end_time")}
        return " ".join(f"{word} {end}" for word, end in ends.items() if end is not None)

    def _out_of_scope(self, arguments: dict[str, Any]) -> list[int]:
        """The indexes of events that do not lie within the scope."""
        start, end = self.scope.get("start_time"), self.scope.get("end_time")
        return [
            idx
            for idx, event in enumerate(arguments["events"])
            if (start is not None and event["start_time"] < start)
            or (end is not None and event["end_time"] > end)
        ]

    def _undeclared(self, arguments: dict[str, Any]) -> Iterator[str]:
        events = objects(arguments.get("events"))
        names = {name for e in events if isinstance(name := e.get("name"), str)}
        if unknown := names - self.data["event_vocabulary"].keys():
            yield f"not in the vocabulary of events: {listed(sorted(unknown))}"
        lists = [tags for e in events if isinstance(tags := e.get("tags"), list)]
        tags = {tag for one in lists for tag in one if isinstance(tag, str)}
        if unknown := tags - self._tag_vocabulary.keys():
            yield f"not in the vocabulary of tags: {listed(sorted(unknown))}"
        targets = {target for e in events if isinstance(target := e.get("target_id"), str)}
        if others := targets - {self.data["dataset_id"]}:
            yield f"not in the dataset {self.data['dataset_id']}: {listed(sorted(others))}"

    @override
    def effect(self, arguments: dict[str, Any]) -> GoalEffect:
        events = [_Event.model_validate(event) for event in arguments["events"]]
        return GoalEffect(
            events=[
                NewEvent(
                    new_id("ev"),
                    self.data["dataset_id"],
                    self.data.get("collection_id"),
                    **event.model_dump(),
                )
                for event in events
            ]
        )
