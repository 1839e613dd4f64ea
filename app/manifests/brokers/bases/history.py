"""Revisions of a resource: the list of them, and the one to go back to."""

from collections.abc import Sequence
from typing import Any

from app.errors import NotFoundError
from app.manifests.model.table import Column, Table, to_table

_COLUMNS = (
    Column("revision", "integer", lambda row: row.revision),
    Column("description", "string", lambda row: row.description),
    Column("created", "datetime", lambda row: row.created),
    Column("createdBy", "string", lambda row: row.created_by),
)


def history_table(rows: Sequence[Any]) -> Table:
    """Revisions, newest first, as `history` shows them."""
    return to_table(_COLUMNS, rows)


def chosen_revision(rows: Sequence[Any], what: str, revision: int | None) -> Any:
    """The row of a revision, or of the one before the newest.

    Args:
        rows: newest first.
        what: the resource, in words.
        revision: of the row; None: the one before.

    Raises:
        NotFoundError: there is none.
    """
    if revision is None and len(rows) > 1:
        return rows[1]
    for row in rows:
        if row.revision == revision:
            return row
    which = "revision before this one" if revision is None else f"revision {revision}"
    raise NotFoundError(f"{what} has no {which}.")
