"""`StoredBroker`: kinds whose table has a name, metadata and a version, as most have."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from sqlalchemy import ColumnElement
from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.db.models.columns import NOW
from app.db.paging import fitting
from app.kit.ids import new_id
from app.manifests.broker import Broker, RowT
from app.manifests.brokers.bases.listing import after, label_conditions
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest, SpecT
from app.manifests.model.table import Column, GetQuery, Table


def meta_field(name: str) -> Column:
    """A column of `get` that shows a field of the metadata."""
    return Column(name, "string", lambda row: (row.meta or {}).get(name))


def attribute(name: str, type_: str = "string", *, field: str | None = None) -> Column:
    """A column of `get` that shows one of the table, and can be sorted by it if it is no list."""
    field = field or name
    sort = None if type_ == "list" else field
    return Column(name, type_, lambda row: getattr(row, field), sort=sort)


COLUMNS = (
    attribute("name"),
    meta_field("description"),
    meta_field("version"),
    attribute("created", "datetime"),
    attribute("modified", "datetime"),
)


class StoredBroker(Broker[SpecT, RowT], Generic[SpecT, RowT]):
    """Finds, lists, inserts, changes and deletes rows of one table.

    Attributes:
        table: of the rows.
        id_prefix: of their ids.
        name_field: the column that holds the name.
        large_rows: whether a page of them may hold much.
    """

    # A table class, whose columns mypy cannot know here.
    table: ClassVar[Any]
    id_prefix: ClassVar[str]
    name_field: ClassVar[str] = "name"
    large_rows: ClassVar[bool] = True
    columns: ClassVar[Sequence[Column]] = COLUMNS

    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        """All rows of this kind that the caller may know of."""
        query: SelectOfScalar[Any] = select(self.table)
        return query.where(self.table.org_id == context.caller.org_id)

    def conditions(self, query: GetQuery) -> list[ColumnElement[bool]]:
        """The conditions that the filters of a query stand for; most kinds have none."""
        query.refuse_filters(self.kind)
        return []

    def has_name(self, name: str) -> Any:
        """The condition that a row has this name."""
        return getattr(self.table, self.name_field) == name

    @override
    async def find(self, context: Context, name: str, *, lock: bool = False) -> RowT | None:
        query = self.visible_rows(context).where(self.has_name(name))
        found = await context.db.exec(query.with_for_update() if lock else query)
        row: RowT | None = found.first()
        return row

    @override
    async def lock_existing(self, context: Context, name: str) -> bool:
        query = self.visible_rows(context).where(self.has_name(name))
        found = await context.db.exec(query.with_for_update(read=True, key_share=True))
        return found.one_or_none() is not None

    @override
    async def rows(self, context: Context, query: GetQuery | None) -> Sequence[RowT]:
        statement = self.visible_rows(context)
        if query is not None:
            statement = self._selected(context, query).limit(query.i)
        found: Sequence[RowT] = (await context.db.exec(statement)).all()
        return found

    @override
    async def get(self, context: Context, query: GetQuery) -> Table:
        if self.large_rows:
            selected = self._selected(context, query)
            most = await fitting(context.db, selected, self.table, query.i)
            query = query.model_copy(update={"i": most})
        return await super().get(context, query)

    def _selected(self, context: Context, query: GetQuery) -> SelectOfScalar[Any]:
        """The rows that a query selects, in its order, from the start of its page."""
        statement = self.visible_rows(context)
        if query.name is not None:
            statement = statement.where(self.has_name(query.name))
        statement = statement.where(*self.conditions(query))
        meta = getattr(self.table, "meta", None)
        statement = statement.where(*label_conditions(meta, query.requirements))
        order = query.order(self.columns, (self.sort_by, self.sort_upwards))
        column, upwards = getattr(self.table, order[0]), order[1]
        if (start := query.start(order)) is not None:
            statement = statement.where(after(column, self.table.id, start, upwards=upwards))
        return statement.order_by(column if upwards else column.desc(), self.table.id)

    @override
    async def create(self, context: Context, manifest: Manifest[SpecT]) -> RowT:
        caller = context.caller
        row = self.table(
            id=new_id(self.id_prefix),
            org_id=caller.org_id,
            name=manifest.name,
            meta=manifest.metadata.stored(),
            created_by=caller.user_id,
            modified_by=caller.user_id,
            **self.stored_spec(context, manifest),
        )
        context.db.add(row)
        await context.db.flush()
        made: RowT = row
        return made

    def declare(self, context: Context, row: RowT, manifest: Manifest[SpecT]) -> Any:
        """Sets what the manifest declares in a row, which is of a new version then."""
        changed: Any = row
        changed.meta = manifest.metadata.stored()
        for field, value in self.stored_spec(context, manifest).items():
            setattr(changed, field, value)
        changed.version += 1
        return changed

    @override
    async def change(self, context: Context, row: RowT, manifest: Manifest[SpecT]) -> RowT:
        changed = self.declare(context, row, manifest)
        changed.modified = NOW
        changed.modified_by = context.caller.user_id
        await context.db.flush()
        await context.db.refresh(changed, ["modified"])
        return row

    @override
    async def remove(self, context: Context, row: RowT) -> None:
        await context.db.delete(row)
        await context.db.flush()

    @override
    def metadata_of(self, row: RowT) -> dict[str, Any]:
        stored: Any = row
        name = getattr(stored, self.name_field)
        return {"name": name, **(stored.meta or {}), "resourceVersion": str(stored.version)}

    @override
    async def status_of(self, context: Context, row: RowT) -> dict[str, Any]:
        stored: Any = row
        return {
            "created": stored.created,
            "createdBy": stored.created_by,
            "modified": stored.modified,
            "modifiedBy": stored.modified_by,
        }

    @abstractmethod
    def stored_spec(self, context: Context, manifest: Manifest[SpecT]) -> dict[str, Any]:
        """The columns that hold the spec."""


class SharedTableBroker(StoredBroker[SpecT, RowT], Generic[SpecT, RowT]):
    """Kinds that share a table: the column `kind` says which of them a row is of."""

    @override
    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        return super().visible_rows(context).where(self.table.kind == self.kind)
