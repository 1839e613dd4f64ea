"""Rules of tools that have the same words in each kind that declares them."""

from typing import Annotated, TypeAlias

from pydantic import Field

from app.invokers.tool import OnLargeResult

_YEAR_SECONDS = 366 * 24 * 3600.0

ApprovalTimeout: TypeAlias = Annotated[
    float | None,
    Field(
        description="Seconds that a person has to approve a call, or to say what became of it; left"
        " out: as the thread says.",
        gt=0,
        le=_YEAR_SECONDS,
    ),
]
OnLarge: TypeAlias = Annotated[
    OnLargeResult,
    Field(
        description="What becomes of a result that is longer than a model is shown: its end is cut,"
        " or it is refused, and the model is asked to want less."
    ),
]
