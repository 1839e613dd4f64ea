"""Goal `dataset_triage`: a decision on each label; those that apply become the dataset's tags."""

from collections import Counter
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from app.goals.goal import Goal, GoalEffect, listed, objects, shape_faults, vocabulary_lines
from app.goals.text import Text


class _Decision(BaseModel):
    model_config = ConfigDict(strict=True)

    label: str
    applies: bool
    justification: Text
    confidence: Annotated[float, Field(ge=0, le=1)]


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True)

    label_decisions: list[_Decision] = Field(min_length=1)


class DatasetTriage(Goal):
    """The model decides on each label of the vocabulary, once."""

    kind: ClassVar[str] = "dataset_triage"
    tool: ClassVar[str] = "achieve_dataset_triage"

    @property
    @override
    def input_schema(self) -> dict[str, Any]:
        labels = list(self.data["label_vocabulary"])
        decision = {
            "type": "object",
            "properties": {
                "label": {"type": "string", "enum": labels},
                "applies": {"type": "boolean"},
                "justification": {
                    "type": "string",
                    "minLength": 1,
                    "description": "What in the dataset says so, also where it does not apply.",
                },
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            },
            "required": ["label", "applies", "justification", "confidence"],
        }
        return {
            "type": "object",
            "properties": {
                "label_decisions": {
                    "type": "array",
                    "items": decision,
                    "minItems": len(labels),
                    "maxItems": len(labels),
                    "description": "One for each label.",
                }
            },
            "required": ["label_decisions"],
        }

    @override
    def prompt(self) -> list[str]:
        return [
            f"Decide of each of these labels whether it applies to {self.data['dataset_id']}:",
            *vocabulary_lines(self.data["label_vocabulary"]),
        ]

    @override
    def faults(self, arguments: dict[str, Any]) -> list[str]:
        vocabulary = self.data["label_vocabulary"]
        decisions = objects(arguments.get("label_decisions"))
        labels = Counter(label for d in decisions if isinstance(label := d.get("label"), str))
        faults = shape_faults(_Arguments, arguments)
        if unknown := labels.keys() - vocabulary.keys():
            faults.append(f"not in the vocabulary: {listed(sorted(unknown))}")
        if twice := [label for label in vocabulary if labels[label] > 1]:
            faults.append(f"decided more than once: {listed(twice)}")
        if missing := [label for label in vocabulary if not labels[label]]:
            faults.append(f"not decided: {listed(missing)}")
        return faults

    @override
    def effect(self, arguments: dict[str, Any]) -> GoalEffect:
        applies = {d["label"]: d["applies"] for d in arguments["label_decisions"]}
        return GoalEffect(
            self.data["dataset_id"],
            tags=sorted(label for label, holds in applies.items() if holds),
            removed_tags=sorted(label for label, holds in applies.items() if not holds),
        )
