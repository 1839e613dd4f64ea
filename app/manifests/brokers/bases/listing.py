"""Lists of rows in SQL: those whose labels are chosen, and those of one page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    String,
    and_,
    false,
    func,
    or_,
    true,
)

from app.db.models.columns import EnumText
from app.kit.paging import PageTokenError
from app.manifests.model.selector import Operator, Requirement
from app.manifests.model.table import GetQuery, PageStart, RowT

_MAX_INT = 2**31 - 1


def label_conditions(meta: Any, selector: Sequence[Requirement]) -> list[ColumnElement[bool]]:
    """The conditions that a selector stands for, on the column that holds the metadata.

    Args:
        meta: the column; None: the rows have no labels.
        selector: what is asked of the labels.
    """
    if meta is None:
        return [true() if all(one.is_met({}) for one in selector) else false()]
    return [_condition(meta, one) for one in selector]


def _condition(meta: Any, requirement: Requirement) -> ColumnElement[bool]:
    value = func.json_extract_path_text(meta, "labels", requirement.key, type_=String)
    match requirement.operator:
        case Operator.IN:
            return value.in_(requirement.values)
        case Operator.NOT_IN:
            return or_(value.is_(None), value.not_in(requirement.values))
        case Operator.EXISTS:
            return value.is_not(None)
        case Operator.MISSING:
            return value.is_(None)


def after(column: Any, row_id: Any, start: PageStart, *, upwards: bool) -> ColumnElement[bool]:
    """The condition that a row comes after the one that the page before ended with.

    Rows are sorted by the column, in which NULL is PostgreSQL's largest value, then by their ids.

    Raises:
        PageTokenError: no row has such a value.
    """
    same_value = row_id > start.row_id
    if start.value is None:
        beyond = false() if upwards else column.is_not(None)
        return or_(beyond, and_(column.is_(None), same_value))
    value = column_value(column, start.value)
    beyond = or_(column > value, column.is_(None)) if upwards else column < value
    return or_(beyond, and_(column == value, same_value))


def column_value(column: Any, text: str) -> Any:
    """A value of a column out of a page token.

    Raises:
        PageTokenError: the column cannot have it.
    """
    try:
        return _read(column.type, text)
    except (KeyError, ValueError, OverflowError):
        raise PageTokenError from None


def _read(type_: Any, text: str) -> Any:
    if isinstance(type_, DateTime):
        return datetime.fromisoformat(text).astimezone(UTC)
    if isinstance(type_, Boolean):
        return {"True": True, "False": False}[text]
    if isinstance(type_, Integer):
        return _bound(int(text))
    return type_.members(text) if isinstance(type_, EnumText) else text


def _bound(number: int) -> int:
    if abs(number) > _MAX_INT:
        raise ValueError("no column has it")
    return number


def page_of(rows: list[RowT], table: Any, query: GetQuery, order: tuple[str, bool]) -> list[RowT]:
    """The rows of one page, found as in SQL: NULL is the largest value.

    Args:
        rows: by their keys.
        table: of the rows.
        query: says which page.
        order: the column that they are sorted by, and whether upwards.
    """
    field, upwards = order

    ids: Any = attrgetter("key")

    def place(value: Any) -> tuple[bool, Any]:
        return value is None, value or ""

    rows.sort(key=lambda row: place(getattr(row, field)), reverse=not upwards)  # ties by key
    if (start := query.start(order)) is not None:
        column = getattr(table, field)
        value = None if start.value is None else column_value(column, start.value)
        last = place(value)
        rows = [
            row
            for row in rows
            if ((this := place(getattr(row, field))) != last and (this > last) is upwards)
            or (this == last and ids(row) > start.row_id)
        ]
    return rows[: query.i]
