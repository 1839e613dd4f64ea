"""Whether a person must approve a call: an expression over its arguments may say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.errors import ConflictError
from app.flows.manifest.expression import Clock, ExpressionError, compile_expression

Approval = Literal["never", "always"] | dict[str, str]


@dataclass(slots=True)
class _Arguments:
    """The arguments as an expression sees them: each by its name, one that is missing as null."""

    values: Mapping[str, Any]
    _clock: Clock = field(default_factory=Clock)

    def read(self, name: str) -> Any:
        return self.values.get(name)

    def tick(self) -> None:
        self._clock.tick()


def needs_approval(
    approval: Approval, schema: Mapping[str, Any], arguments: Mapping[str, Any]
) -> bool:
    """Whether a call is to wait for a person; one whose expression fails does."""
    if not isinstance(approval, dict):
        return approval == "always"
    try:
        evaluate = compile_expression(approval.get("when"), schema.get("properties", {}))
        return bool(evaluate(_Arguments(arguments)))
    except (ExpressionError, ConflictError):
        return True
