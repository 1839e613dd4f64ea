"""Events that goals found, as the logs of datasets and of collections show them."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import col, select

from app.db.models import DatasetEvent
from app.manifests.context import Context


async def found_events(
    context: Context, which: ColumnElement[bool], limit: int
) -> list[dict[str, Any]]:
    """The last of those events of the caller's org that `which` selects."""
    query = (
        select(DatasetEvent)
        .where(DatasetEvent.org_id == context.caller.org_id, which)
        .order_by(col(DatasetEvent.id).desc())
        .limit(limit)
    )
    return [
        {
            "time": event.created,
            "type": "found",
            "text": _text(event),
            "status": "200",
            "by": event.session_id,
            "key": event.id,
        }
        for event in await context.db.exec(query)
    ]


def _text(event: DatasetEvent) -> str:
    tags = f" [{', '.join(event.tags)}]" if event.tags else ""
    said = f": {event.description}" if event.description else ""
    where = f" in {event.dataset_id}, from {event.start_time} to {event.end_time} ns"
    return f"{event.name}{tags}{where}{said}"
