"""What a step's templates see beside the session's data."""

from dataclasses import dataclass, field
from typing import Any

from app.kit.storable import load_json


@dataclass(frozen=True, slots=True)
class StepScope:
    """What a step's render sees beside the session's data: a result before it, a map's item."""

    previous_result: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    def visible(self) -> dict[str, Any]:
        """The scope as render data."""
        if self.previous_result is None:
            return self.fields
        return self.fields | {
            "previous_result": self.previous_result,
            "parsed_previous_result": parse_result(self.previous_result),
        }

    def beyond(self, outer: "StepScope") -> "StepScope":
        """What it has that the scope around it has not: all that is to be stored of it."""
        known = outer.fields
        fields = {n: v for n, v in self.fields.items() if n not in known or known[n] is not v}
        passed_on = self.previous_result is outer.previous_result
        return StepScope(None if passed_on else self.previous_result, fields)

    def within(self, outer: "StepScope") -> "StepScope":
        """The scope of which it is what lies beyond the one around it."""
        result = self.previous_result
        result = outer.previous_result if result is None else result
        return StepScope(result, outer.fields | self.fields)


def parse_result(text: str) -> Any:
    """A result as the value it is the JSON of, or else (also if too deep) as the text itself."""
    try:
        return load_json(text, clean=True)
    except ValueError:
        return text
