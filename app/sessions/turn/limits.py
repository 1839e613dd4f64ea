"""What bounds a turn."""

from dataclasses import dataclass
from typing import Self

from app.settings import Settings


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """What bounds the invocations that a transition starts, and how its model is stored.

    Attributes:
        max_attempts: of a step whose template does not say.
        invocation_seconds: after which an invocation fails by itself.
        compression: whether stored models are compressed.
        model_values: most values that a model, or a value of its secondary store, may have.
        history_characters: of the dialogue that its templates are shown.
    """

    max_attempts: int
    invocation_seconds: float
    compression: bool
    model_values: int
    history_characters: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings give."""
        return cls(
            settings.step.max_attempts,
            settings.step.invocation_seconds,
            settings.session.compression,
            settings.session.model_values,
            settings.session.history_characters,
        )
