"""Pages of rows, newest first: each goes on after the last row of the page before."""

from collections.abc import Sequence
from typing import Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import Select, SelectOfScalar

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
    query = query.order_by(created.desc(), row_id.desc()).limit(limit + 1)

    def token_after(row: Any) -> str:
        last = row if isinstance(row, table) else row[0]
        return encode_keyset(last.created, last.id)

    return cut_page((await db.exec(query)).all(), limit, token_after)
