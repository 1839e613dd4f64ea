"""One saved state of a flow that was declared as a manifest."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from app.db.models.columns import created_at, key_order, written_json


class FlowRevision(SQLModel, table=True):
    """`spec` has `model`, `statechart` and `templates`; revisions count from 1.

    `number_of_states` is for lists; None where the release before saved it.
    `deleted`: from this revision on there is no such flow; sessions keep the one they run.
    """

    __tablename__ = "flow_revision"

    org_id: str = Field(primary_key=True, foreign_key="org.id")
    key: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    description: str | None = None
    meta: dict[str, Any] | None = written_json(nullable=True)
    key_order: dict[str, list[str]] | None = key_order()
    spec: dict[str, Any] = written_json()
    number_of_states: int | None = None
    deleted: bool = Field(default=False, sa_column_kwargs={"server_default": "false"})
    created: datetime = created_at()
    created_by: str
