"""The journal: one row for every verb, by whom, on what, with which result, in what time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from time import perf_counter
from typing import Any, cast

from sqlalchemy import or_, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from structlog import get_logger

from app.access.caller import Caller
from app.db.engine import Database
from app.db.failures import is_database_failure
from app.db.models import JournalEntry, User
from app.db.models.journal import IS_CHANGE
from app.errors import StatewrightError, UnavailableError, public_text
from app.kit.ids import new_id
from app.kit.log import mask
from app.manifests.model.table import Column

log = get_logger(__name__)

LOG_COLUMNS = [
    Column("time", "datetime", itemgetter("time")),
    Column("type", "string", itemgetter("type")),
    Column("text", "string", itemgetter("text")),
    Column("status", "string", itemgetter("status")),
    Column("by", "string", itemgetter("by")),
    Column("key", "string", itemgetter("key")),
]

ID_PREFIX = "jrn"

RENAME = "rename"
# All names that a resource had which has this one now, or had it once.
_NAMES = text("""
WITH RECURSIVE known(name) AS (
  SELECT CAST(:name AS text)
  UNION
  SELECT other.name FROM known
  JOIN journal j ON j.org_id = :org AND j.kind = :kind AND j.name = known.name
    AND j.command = 'rename'
  CROSS JOIN LATERAL (VALUES (j.detail->>'from'), (j.detail->>'to')) AS other(name)
)
SELECT name FROM known WHERE name IS NOT NULL LIMIT 100""")
_MAX_NAME = 200
_AT_ONCE = 20
_INTERNAL = 500
# A database that has just failed is not waited for a second time.
_SECONDS_AFTER_FAILURE = 0.3


@dataclass(slots=True)
class Entry:
    """A verb that is being carried out. What is known of it is filled in on the way.

    Attributes:
        key: of the row; part of the answer.
        thing: the kind; of several kinds at once, "Manifest".
        detail: what else to keep; secrets are masked.
    """

    caller: Caller
    command: str
    thing: str | None = None
    name: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    _started: float = field(default_factory=perf_counter)
    key: str = field(default_factory=lambda: new_id(ID_PREFIX))

    def about(self, thing: str, name: str, detail: dict[str, Any]) -> "Entry":
        """An entry of the same verb and time about one of its resources."""
        return Entry(self.caller, self.command, thing, name, detail, self._started)

    def renamed(self, before: str, name: str) -> "Entry":
        """The same for the name that the resource had before: it is found under both."""
        self.command, self.name = RENAME, name
        self.detail |= {"from": before, "to": name, "operation": f"{before} → {name}"}
        return Entry(self.caller, RENAME, self.thing, before, self.detail, self._started)

    def row(self, status: int) -> JournalEntry:
        """The row of it, as it ends now."""
        return JournalEntry(
            id=self.key,
            org_id=self.caller.org_id,
            user_id=self.caller.user_id,
            command=self.command,
            kind=self.thing,
            name=self.name[:_MAX_NAME] if self.name else None,
            status=status,
            detail=_plain(mask(self.detail)) or None,
            duration_ms=round((perf_counter() - self._started) * 1000, 3),
        )


async def write_all(db: AsyncSession, entries: Sequence[Entry], status: int) -> None:
    """Writes entries in a transaction, a few at a time: others have their turns in between."""
    for start in range(0, len(entries), _AT_ONCE):
        db.add_all(entry.row(status) for entry in entries[start : start + _AT_ONCE])
        await db.flush()


async def keep_failure(database: Database, entry: Entry, error: Exception) -> None:
    """Keeps how a verb failed, in a transaction of its own: the verb's was rolled back."""
    status = error.status if isinstance(error, StatewrightError) else _INTERNAL
    seconds = None
    if is_database_failure(error):
        status, seconds = UnavailableError.status, _SECONDS_AFTER_FAILURE
    entry.detail["error"] = public_text(error)
    await keep(database, entry, status, seconds)


async def keep(database: Database, entry: Entry, status: int, seconds: float | None = None) -> None:
    """Keeps the entry of a verb that has ended already, within so many seconds.

    Best effort: an entry that the database does not take is in the log alone.
    """
    try:
        async with asyncio.timeout(seconds), database.transaction() as db:
            db.add(entry.row(status))
    except Exception as failure:  # noqa: BLE001 - the caller must hear how the verb ended
        log.warning("journal entry lost", command=entry.command, error=type(failure).__name__)


async def read_journal(
    db: AsyncSession, caller: Caller, kind: str, name: str, limit: int
) -> list[dict[str, Any]]:
    """The most recent entries of a resource, as `logs` shows them: those of verbs that change.

    Under all names that it ever had.
    """
    connection = await db.connection()
    known_as = {"org": caller.org_id, "kind": kind, "name": name}
    names = (await connection.execute(_NAMES, known_as)).scalars().all()
    detail = cast(Any, JournalEntry.detail)
    query = (
        select(JournalEntry, User.email)
        .join(User, col(User.id) == col(JournalEntry.user_id), isouter=True)
        .where(
            JournalEntry.org_id == caller.org_id,
            JournalEntry.kind == kind,
            col(JournalEntry.name).in_(names),
            IS_CHANGE,
            JournalEntry.command != "history",
            # Of the two of a rename, the one under the new name.
            or_(col(JournalEntry.command) != RENAME, detail["to"].as_string() == JournalEntry.name),
        )
        .order_by(col(JournalEntry.created).desc())
        .limit(limit)
    )
    found: Sequence[tuple[JournalEntry, str | None]] = (await db.exec(query)).all()
    items = [
        {
            "time": entry.created,
            "type": "journal",
            "text": _text(entry),
            "status": str(entry.status),
            "by": email or entry.user_id,
            "key": entry.id,
        }
        for entry, email in found
    ]
    for entry, _ in found:
        items += [_kept_event(event) for event in (entry.detail or {}).get("events", [])]
    return items


def _kept_event(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"time": datetime.fromisoformat(event["time"])}


def _text(entry: JournalEntry) -> str:
    detail = entry.detail or {}
    outcome = detail.get("operation") or detail.get("error")
    dry = " (dry run)" if detail.get("dryRun") else ""
    return f"{entry.command}{dry}{f': {outcome}' if outcome else ''}"


def _plain(value: Any) -> Any:
    """The value as JSON: times as text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
