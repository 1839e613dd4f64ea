"""The result of an apply for one resource."""

from dataclasses import dataclass
from typing import Any

from app.errors import FieldError
from app.manifests.model.diff import FieldChange


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of an apply: `operation` is created, updated or unchanged.

    `warnings` are what its author should look at; they refuse nothing.
    """

    kind: str
    name: str
    operation: str
    manifest: dict[str, Any]
    diff: list[FieldChange]
    warnings: list[FieldError]
