"""Deletes what is older than the journal's retention."""

from datetime import UTC, datetime, timedelta

from sqlmodel import col, delete, select

from app.db.models import JournalEntry
from app.kit.ids import first_id
from app.manifests.journal import ID_PREFIX
from app.sessions.runtime import Runtime
from app.sessions.steps.sweep.sweeper import repeat

_BATCH = 500  # deleted in one transaction: nobody waits for it


async def sweep_journal(runtime: Runtime) -> None:
    """Sweeps for ever."""

    async def sweep() -> None:
        while await _delete_oldest(runtime) == _BATCH:
            pass

    await repeat(runtime.settings.journal.sweep_seconds, sweep)


async def _delete_oldest(runtime: Runtime) -> int:
    """Deletes some entries whose time is over; returns how many. Workers do not wait for another.

    Ids say when they were made: the primary key finds the oldest.
    """
    kept = timedelta(days=runtime.settings.journal.retention_days)
    oldest = (
        select(JournalEntry.id)
        .where(col(JournalEntry.id) < first_id(ID_PREFIX, datetime.now(UTC) - kept))
        .order_by(JournalEntry.id)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    )
    async with runtime.database.transaction() as db:
        done = await db.exec(delete(JournalEntry).where(col(JournalEntry.id).in_(oldest)))
    return done.rowcount
