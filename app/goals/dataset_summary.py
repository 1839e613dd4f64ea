"""Goal `dataset_summary`: a summary that is kept with the dataset."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from app.goals.goal import Goal, GoalEffect, shape_faults
from app.goals.text import Text

_DEFAULT_FORMAT = "A few plain paragraphs: what the dataset holds, and what stands out in it."


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True)

    summary: Text


class DatasetSummary(Goal):
    """The model submits the whole text."""

    kind: ClassVar[str] = "dataset_summary"
    tool: ClassVar[str] = "achieve_dataset_summary"

    @property
    @override
    def input_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "summary": {"type": "string", "minLength": 1, "description": "The whole summary."}
            },
            "required": ["summary"],
        }

    @override
    def prompt(self) -> list[str]:
        return [
            f"Summarize the dataset {self.data['dataset_id']}.",
            self.data.get("summary_format_spec_prompt") or _DEFAULT_FORMAT,
        ]

    @override
    def faults(self, arguments: dict[str, Any]) -> list[str]:
        return shape_faults(_Arguments, arguments)

    @override
    def effect(self, arguments: dict[str, Any]) -> GoalEffect:
        return GoalEffect(self.data["dataset_id"], summary=arguments["summary"])
