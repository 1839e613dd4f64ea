"""What a client shows to its user, and the span of time that its user looks at."""

from typing import Annotated, Any, Self, TypeAlias

from pydantic import Field, model_validator

from app.kit.written_order import WrittenOrder
from app.wire.messages import WireModel

_INT64 = 2**63 - 1

Ids: TypeAlias = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=1_000)]
Nanoseconds: TypeAlias = Annotated[int, Field(ge=-_INT64, le=_INT64)]


class ClientViewingContext(WrittenOrder, WireModel):
    """What the user's client was showing. For the model to read; it allows and forbids nothing."""

    dataset_ids: Ids = Field([], description="Datasets in view.")
    file_ids: Ids = Field([], description="Files in view.")
    collection_ids: Ids = Field([], description="Collections in view.")
    device_ids: Ids = Field([], description="Devices in view.")
    device_type_ids: Ids = Field([], description="Device types in view.")
    session_ids: Ids = Field([], description="Recording sessions in view.")
    view_ids: Ids = Field([], description="Saved searches in view.")
    table_state: dict[str, Any] | None = Field(None, description="The table on screen.")
    display_time_anchor_ns: Nanoseconds | None = Field(
        None, description="The instant shown as zero, in nanoseconds since 1970 (UTC)."
    )
    display_time_anchor_label: str | None = Field(
        None, description="What the client calls that instant.", max_length=1_000
    )
    visualizer_state: dict[str, Any] | None = Field(None, description="The visualizer on screen.")
    misc_context: dict[str, Any] | None = Field(None, description="Anything else.")


class AnalysisScope(WrittenOrder, WireModel):
    """The span of time that the agent should look at; null leaves an end open."""

    start_time: Nanoseconds | None = Field(
        None, description="First instant, in nanoseconds since 1970 (UTC)."
    )
    end_time: Nanoseconds | None = Field(
        None, description="Last instant, in nanoseconds since 1970 (UTC)."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        start, end = self.start_time, self.end_time
        if start is not None and end is not None and start > end:
            raise ValueError("start_time must not be after end_time")
        return self

    def merge(self, override: "AnalysisScope") -> "AnalysisScope":
        """This scope with each end that `override` sets replaced; the result must be in order."""
        return AnalysisScope.model_validate(
            self.model_dump() | override.model_dump(exclude_none=True)
        )
