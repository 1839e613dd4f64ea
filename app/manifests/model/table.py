"""Tables of `get` and `logs`: titled columns, and one item for each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import Field

from app.errors import BadRequestError
from app.kit.paging import PageTokenError, cut_page, decode_token, encode_token
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.selector import MAX_SELECTOR, Requirement, parse_selector

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: its title.
        type: string, integer, boolean, datetime or list.
        read: gives the value of a row.
        sort: the column of the database table that it is sorted by; None: it cannot be.
    """

    name: str
    type: str
    read: Callable[[Any], Any]
    sort: str | None = None


@dataclass(frozen=True, slots=True)
class PageStart:
    """What the page before ended with: the value that it is sorted by, as text, and the id."""

    value: str | None
    row_id: str


class GetQuery(ManifestModel):
    """The query of a list: a name, the number of items, the order, and what narrows it.

    `failed`, `flow` and `agent` narrow lists of sessions. `manifests` asks for those, too.
    """

    name: str | None = Field(None, max_length=200)
    i: int = Field(10, ge=1, le=1000)
    asc: str | None = Field(None, max_length=100)
    desc: str | None = Field(None, max_length=100)
    failed: bool = False
    flow: str | None = Field(None, max_length=200)
    agent: str | None = Field(None, max_length=200)
    selector: str | None = Field(None, max_length=MAX_SELECTOR)
    manifests: bool = False
    page_token: str | None = Field(None, max_length=2_000)

    @property
    def requirements(self) -> list[Requirement]:
        """What the labels of each item must be like."""
        return parse_selector(self.selector) if self.selector is not None else []

    def start(self, order: tuple[str, bool]) -> PageStart | None:
        """Where the page starts; None: with the first row.

        Raises:
            PageTokenError: it is none of a list in this order.
        """
        if not self.page_token:
            return None
        match decode_token(self.page_token):
            case [field, upwards, *value, row_id] if len(value) <= 1:
                if (field, upwards) == (order[0], str(order[1])):
                    return PageStart(value[0] if value else None, row_id)
        raise PageTokenError

    def page(
        self, rows: Sequence[RowT], order: tuple[str, bool], id_field: str
    ) -> tuple[Sequence[RowT], str | None]:
        """The rows of this page, of which there may be one more; and the token of the next page."""

        def token_after(row: RowT) -> str:
            value = getattr(row, order[0])
            text = value.isoformat() if isinstance(value, datetime) else str(value)
            known = [] if value is None else [text]
            return encode_token(order[0], str(order[1]), *known, getattr(row, id_field))

        return cut_page(rows, self.i, token_after)

    def refuse_filters(self, kind: str) -> None:
        """Raises `BadRequestError` if the list of a kind that has no filters is to be narrowed."""
        given = {"failed": self.failed, "flow": self.flow, "agent": self.agent}
        names = [name for name, value in given.items() if value]
        if names:
            msg = f"only sessions are narrowed by it, and this is kind {kind}"
            raise BadRequestError(
                f"{names[0]}: {msg}.",
                errors=[{"loc": ["query", name], "msg": msg} for name in names],
            )

    def order(self, columns: Sequence[Column], otherwise: tuple[str, bool]) -> tuple[str, bool]:
        """The database column to sort by, and whether upwards.

        `asc` and `desc` are columns; or `true`, the usual column, and `false`, which says nothing.

        Args:
            columns: of the table.
            otherwise: the order of a list when none is asked for.

        Raises:
            BadRequestError: the list cannot be sorted by that.
        """
        sortable = {column.name: column.sort for column in columns if column.sort}
        for where, title in (("asc", self.asc), ("desc", self.desc)):
            if title is None or title.lower() == "false":
                continue
            if title.lower() == "true":
                return otherwise[0], where == "asc"
            if title not in sortable:
                msg = f"it can be sorted by {', '.join(sortable)}; or true or false"
                raise BadRequestError(
                    f"{where}: {msg}.", errors=[{"loc": ["query", where], "msg": msg}]
                )
            return sortable[title] or "", where == "asc"
        return otherwise


@dataclass(frozen=True, slots=True)
class Table:
    """Titles and items; the manifests of the items where asked for; the token of the next page."""

    titles: list[dict[str, str]]
    items: list[dict[str, Any]]
    manifests: list[dict[str, Any]] | None = None
    next_token: str | None = None


def to_table(columns: Sequence[Column], rows: Sequence[Any]) -> Table:
    """The rows in these columns."""
    titles = [{"name": column.name, "type": column.type} for column in columns]
    return Table(titles, [{column.name: column.read(row) for column in columns} for row in rows])


def table_data(
    table: Table, kind: str | None, name: str | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The data of the answer to `get` and `logs`."""
    more = {"nextToken": table.next_token} if table.next_token else {}
    shown = {} if table.manifests is None else {"manifests": table.manifests}
    return {
        "apiVersion": "statewright/v1",
        "kind": kind,
        "name": name,
        "metadata": {"count": len(table.items), **more},
        "kwargs": kwargs,
        "data": {"titles": table.titles, "items": table.items, **shown},
    }
