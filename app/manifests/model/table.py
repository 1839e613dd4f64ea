"""Tables of `get` and `logs`: titled columns, and one item for each row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from app.errors import BadRequestError
from app.manifests.model.metadata import ManifestModel


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


class GetQuery(ManifestModel):
    """The query of a list: a name, the number of items, the order, and what narrows it.

    `failed`, `flow` and `agent` narrow lists of sessions.
    """

    name: str | None = Field(None, max_length=200)
    i: int = Field(10, ge=1, le=1000)
    asc: str | None = Field(None, max_length=100)
    desc: str | None = Field(None, max_length=100)
    failed: bool = False
    flow: str | None = Field(None, max_length=200)
    agent: str | None = Field(None, max_length=200)

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
    """Titles and items."""

    titles: list[dict[str, str]]
    items: list[dict[str, Any]]


def to_table(columns: Sequence[Column], rows: Sequence[Any]) -> Table:
    """The rows in these columns."""
    titles = [{"name": column.name, "type": column.type} for column in columns]
    return Table(titles, [{column.name: column.read(row) for column in columns} for row in rows])


def table_data(
    table: Table, kind: str | None, name: str | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The data of the answer to `get` and `logs`."""
    return {
        "apiVersion": "statewright/v1",
        "kind": kind,
        "name": name,
        "metadata": {"count": len(table.items)},
        "kwargs": kwargs,
        "data": {"titles": table.titles, "items": table.items},
    }
