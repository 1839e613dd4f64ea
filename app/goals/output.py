"""Goal `output`: an object that fits a JSON Schema; the thread gives it as its output."""

from typing import Any, ClassVar

from typing_extensions import override

from app.goals.goal import Goal, GoalEffect
from app.kit.schemas.json_schema import schema_faults

SCHEMA = "output_schema"


class Output(Goal):
    """A kind of our own: what a client declares as `output_schema` beside its goals."""

    kind: ClassVar[str] = "output"
    tool: ClassVar[str] = "submit_output"

    @property
    @override
    def input_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self.data[SCHEMA]
        return schema

    @override
    def prompt(self) -> list[str]:
        return ["Submit the result as an object that fits the tool's schema."]

    @override
    def faults(self, arguments: dict[str, Any]) -> list[str]:
        return schema_faults(self.input_schema, arguments)

    @override
    def effect(self, arguments: dict[str, Any]) -> GoalEffect:
        return GoalEffect(output=arguments)
