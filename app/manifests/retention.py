"""Deletes what is older than its retention: entries of the journal, and stored answers."""

from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete, select

from app.db.models import JournalEntry, StoredAnswer
from app.idempotency.answers import ID_PREFIX as ANSWER_PREFIX
from app.kit.ids import first_id
from app.manifests.journal import ID_PREFIX as ENTRY_PREFIX
from app.sessions.runtime import Runtime
from app.sessions.steps.sweep.sweeper import repeat

_BATCH = 500  # deleted in one transaction: nobody waits for it


async def sweep_old_rows(runtime: Runtime) -> None:
    """Sweeps for ever."""
    settings = runtime.settings
    entries = timedelta(days=settings.journal.retention_days)
    answers = timedelta(hours=settings.idempotency.retention_hours)

    async def sweep() -> None:
        while await _delete_oldest(runtime, JournalEntry, ENTRY_PREFIX, entries) == _BATCH:
            pass
        while await _delete_oldest(runtime, StoredAnswer, ANSWER_PREFIX, answers) == _BATCH:
            pass

    await repeat(settings.journal.sweep_seconds, sweep)


async def _delete_oldest(
    runtime: Runtime, table: type[JournalEntry | StoredAnswer], prefix: str, kept: timedelta
) -> int:
    """Deletes some rows whose time is over; returns how many. Workers do not wait for another.

    Ids say when they were made: the primary key finds the oldest. They are looked for once, in a
    CTE: a subquery may be run anew for each row.
    """
    oldest = (
        select(table.id)
        .where(col(table.id) < first_id(prefix, datetime.now(UTC) - kept))
        .order_by(table.id)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
        .cte("oldest")
    )
    async with runtime.database.transaction() as db:
        done = await db.exec(delete(table).where(col(table.id).in_(select(oldest.c.id))))
    return done.rowcount
