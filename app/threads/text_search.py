"""Finding a text in what was said: among the newest threads, by its index, or a part at a time.

However many threads an org has and whatever is looked for, a page costs about the same. A text that
many threads have is found in the newest of them; one that few have, by its index. What neither
finds makes a short page: the next one goes on behind the threads that were looked into.
"""

import json
import re
from collections.abc import Awaitable, Sequence
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    String,
    any_,
    func,
    literal,
    or_,
    union_all,
)
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select

from app.access.caller import Caller
from app.db.failures import is_statement_timeout
from app.db.models import Message, Session
from app.db.models.sessions.message import SAID
from app.kit.paging import encode_keyset
from app.sessions.visibility import usable_by, usable_parts

_LOOKED_INTO = 500  # of the newest threads, before the index is asked
_LOOKED_INTO_INSTEAD = 3_000  # where the index has no answer
_MOST_HITS = 1_000  # messages and titles that the index may find
# Some answers come later: the index's where very many older threads have the text, and those of the
# newest threads where very much was said in them.
_MILLISECONDS = 500
_INDEXED = re.compile(r"[^\W_]{3}")  # three letters or digits in a row are what the index knows

_SETTINGS = (
    # It would be chosen where much is found, and much may be of other orgs.
    func.set_config("enable_seqscan", "off", True),
    func.set_config("statement_timeout", str(_MILLISECONDS), True),
)

Conditions = Sequence[ColumnElement[bool]]
Position = tuple[datetime, str]


def newest_sessions(caller: Caller, conditions: Conditions, limit: int) -> FromClause:
    """The newest sessions that the caller may use: when they were made, their ids and titles.

    Each part of what the caller may use has an index in this order: what lies between and belongs
    to others is not read.

    Args:
        caller: who may use them.
        conditions: what holds for each.
        limit: most of them.
    """
    created, row_id = col(Session.created), col(Session.id)
    parts = [
        select(created, row_id, col(Session.title))
        .where(*conditions, usable)
        .order_by(created.desc(), row_id.desc())
        .limit(limit)
        for usable in usable_parts(caller)
    ]
    found = union_all(*parts).subquery()
    query = select(found.c.created, found.c.id, found.c.title)
    ordered: FromClause = (
        query.order_by(found.c.created.desc(), found.c.id.desc()).limit(limit).subquery()
    )
    return ordered


def places(found: FromClause) -> Select[datetime, str]:
    """The times and ids of some sessions, newest first."""
    created, row_id = found.c.created, found.c.id
    return select(created, row_id).order_by(created.desc(), row_id.desc())


async def find_text(
    db: AsyncSession, caller: Caller, conditions: Conditions, text: str, limit: int
) -> tuple[list[str], str | None]:
    """The ids of a page of threads that have a text, newest first; the token of the next page.

    Args:
        db: the transaction of a list.
        caller: who searches.
        conditions: what holds for each thread, with where the page starts.
        text: in the title or a message, in any case.
        limit: most threads of the page.
    """
    search = _TextSearch(db, caller, conditions, text, limit)
    page = await search.soon(search.in_newest(_LOOKED_INTO))
    if (page is None or not page.is_whole) and _INDEXED.search(text):
        page = await search.soon(search.by_index())
    if page is None or not page.is_whole:
        page = await search.in_newest(_LOOKED_INTO_INSTEAD)
    return page.ids, page.token


class _Page:
    """A page of ids; it is whole unless it ends because no more threads were looked into."""

    def __init__(self, rows: Sequence[Position], limit: int, end: Position | None) -> None:
        self.ids = [row_id for _, row_id in rows[:limit]]
        self.is_whole = len(rows) > limit or end is None
        last = rows[limit - 1] if len(rows) > limit else end
        self.token = None if last is None else encode_keyset(*last)


class _TextSearch:
    """One search: what it looks for, and where."""

    def __init__(
        self, db: AsyncSession, caller: Caller, conditions: Conditions, text: str, limit: int
    ) -> None:
        self._db = db
        self._caller = caller
        self._conditions = conditions
        self._pattern = _contains(text)
        self._indexed_pattern = _contains(json.dumps(text, ensure_ascii=False)[1:-1])
        self._limit = limit

    async def soon(self, page: Awaitable[_Page | None]) -> _Page | None:
        """A page, unless finding it takes too long."""
        try:
            async with self._db.begin_nested() as savepoint:
                await self._db.exec(select(*_SETTINGS))
                found = await page
                await savepoint.rollback()  # with the settings
        except DBAPIError as error:
            if not is_statement_timeout(error):
                raise
            return None
        return found

    async def in_newest(self, most: int) -> _Page:
        """Looks into so many of the newest threads."""
        threads = newest_sessions(self._caller, self._conditions, most)
        end = (await self._db.exec(places(threads).offset(most - 1))).first()
        said = select(Message.idx).where(col(Message.session_id) == threads.c.id, self._is_said())
        # A scalar of each thread: as EXISTS it might be a join with all messages.
        is_said = said.limit(1).scalar_subquery().is_not(None)
        has_text = or_(threads.c.title.ilike(self._pattern), is_said)
        return await self._page(places(threads).where(has_text), end)

    async def by_index(self) -> _Page | None:
        """What the indexes find; None if it is too much."""
        org_id, most = self._caller.org_id, _MOST_HITS + 1
        said = select(col(Message.session_id)).where(
            col(Message.org_id) == org_id, SAID.ilike(self._indexed_pattern), self._is_said()
        )
        titled = select(col(Session.id)).where(
            col(Session.org_id) == org_id, col(Session.title).ilike(self._pattern)
        )
        hits = union_all(said.limit(most), titled.limit(most)).subquery()
        found = (await self._db.exec(select(hits.c[0]))).all()
        if len(found) > _MOST_HITS:
            return None
        ids = literal(list(set(found)), ARRAY(String))
        conditions = (*self._conditions, usable_by(self._caller), col(Session.id) == any_(ids))
        threads = select(col(Session.created), col(Session.id)).where(*conditions)
        # All of them, then sorted: with a limit in sight, newer ones of others might be read first.
        return await self._page(places(threads.cte().prefix_with("MATERIALIZED")), None)

    async def _page(self, query: Select[datetime, str], end: Position | None) -> _Page:
        rows = (await self._db.exec(query.limit(self._limit + 1))).all()
        return _Page(rows, self._limit, end)

    def _is_said(self) -> ColumnElement[bool]:
        """The condition that a block of a message has the text."""
        blocks = func.jsonb_array_elements(Message.content)
        block = blocks.column_valued("block", joins_implicitly=True)
        return select(block).where(block.op("->>")("text").ilike(self._pattern)).exists()


def _contains(text: str) -> str:
    """The ILIKE pattern of what contains a text; its own wildcards are letters."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
