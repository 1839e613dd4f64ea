"""Pages of rows, newest first: each goes on after the last row of the page before.

A page holds so many rows at most, and so many bytes, but one row in any case.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import BigInteger, literal_column, tuple_
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select, SelectOfScalar

from app.db.engine import PAGE_BYTES
from app.db.models import Action, Agent, Session, Skill
from app.kit.paging import cut_page, decode_keyset, encode_keyset

Table = type[Action | Agent | Session | Skill]
RowT = TypeVar("RowT")
Columns = TypeVarTuple("Columns")


@overload
async def newest_page(
    db: AsyncSession,
    query: SelectOfScalar[RowT],
    table: Table,
    *,
    limit: int,
    page_token: str | None,
) -> tuple[Sequence[RowT], str | None]: ...


@overload
async def newest_page(
    db: AsyncSession,
    query: Select[*Columns],
    table: Table,
    *,
    limit: int,
    page_token: str | None,
) -> tuple[Sequence[tuple[*Columns]], str | None]: ...


async def newest_page(
    db: AsyncSession, query: Any, table: Table, *, limit: int, page_token: str | None
) -> tuple[Sequence[Any], str | None]:
    """One page of a query, and the token of the next page if there is one.

    Args:
        db: the transaction.
        query: what to find, in any order; its rows are of the table, or begin with one of it.
        table: whose `created` and `id` the pages are ordered by.
        limit: most rows of the page.
        page_token: of the page; none or an empty one for the first.

    Raises:
        PageTokenError: the token is none of ours.
    """
    created, row_id = col(table.created), col(table.id)
    if page_token:
        query = query.where(tuple_(created, row_id) < decode_keyset(page_token))
    query = query.order_by(created.desc(), row_id.desc())
    most = limit if table is Session else await fitting(db, query, table, limit)

    def token_after(row: Any) -> str:
        last = row if isinstance(row, table) else row[0]
        return encode_keyset(last.created, last.id)

    return cut_page((await db.exec(query.limit(most + 1))).all(), most, token_after)


async def fitting(db: AsyncSession, query: Any, table: type[SQLModel], limit: int) -> int:
    """How many of the first rows of a query hold no more bytes than a page may; at least one.

    PostgreSQL looks at one page of them, and gives numbers alone.

    Args:
        db: the transaction.
        query: in order.
        table: that the rows are of, or begin with.
        limit: most rows.
    """
    name = table.__tablename__
    size = literal_column(f'octet_length("{name}"::text)', BigInteger).label("size")
    page = query.with_only_columns(size, maintain_column_froms=True).limit(limit).subquery()
    sizes = (await db.exec(select(page.c.size))).all()
    most: int = db.info[PAGE_BYTES]
    return max(1, sum(1 for total in accumulate(sizes) if total <= most))
