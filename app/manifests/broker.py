"""`Broker`: the contract of a kind, and its verbs on the resources of the kind."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

import yaml
from sqlalchemy import func
from sqlmodel import select

from app.access.caller import KeyScope
from app.enums import Quota
from app.errors import BadRequestError, ConflictError, NotFoundError
from app.kit.written_order import in_order
from app.manifests.applied import Applied
from app.manifests.context import Context
from app.manifests.journal import LOG_COLUMNS, read_journal
from app.manifests.model.diff import FieldChange, compared
from app.manifests.model.envelope import (
    API_VERSION,
    Envelope,
    Manifest,
    SpecT,
    read_manifest,
)
from app.manifests.model.reference import Reference
from app.manifests.model.schema import manifest_schema
from app.manifests.model.table import Column, GetQuery, Table, to_table
from app.manifests.optional_verbs import OptionalVerbs

RowT = TypeVar("RowT")


class Broker(OptionalVerbs, ABC, Generic[SpecT, RowT]):
    """A broker is typed by the spec of its manifests and by the row of its table.

    The verbs are the same for all kinds; a kind defines how its rows are found, inserted, changed
    and shown. A verb that a kind does not support is a 501, a change of a read-only kind a 405.

    Attributes:
        other_names: what else the kind is called.
        spec_model: the fields of its spec.
        example: a manifest that applies as it is, once the examples that it names are there.
        columns: what `get` shows.
        sort_by: the column that lists are sorted by when nothing else was asked for.
        sort_upwards: whether upwards.
        id_field: the column that tells rows with the same value apart.
        free_names: whether names may be any printable text.
        hide_unknown_fields: whether errors leave out unknown names, which may be secrets.
        has_private_rows: whether not all of the org may see each.
        write_scope: the scope that a change needs.
        refers_to: the kinds that its specs may name.
        refused_verbs: of apply and delete, those that the kind refuses.
    """

    other_names: ClassVar[Sequence[str]] = ()
    example: ClassVar[str]
    columns: ClassVar[Sequence[Column]]
    sort_by: ClassVar[str] = "name"
    sort_upwards: ClassVar[bool] = True
    id_field: ClassVar[str] = "id"
    spec_model: type[SpecT]
    free_names: ClassVar[bool] = False
    hide_unknown_fields: ClassVar[bool] = False
    has_private_rows: ClassVar[bool] = False
    write_scope: ClassVar[KeyScope] = KeyScope.WRITE
    quota: ClassVar[Quota] = Quota.RESOURCES
    refers_to: ClassVar[frozenset[str]] = frozenset()
    refused_verbs: ClassVar[frozenset[str]] = frozenset()

    async def apply(self, context: Context, manifest: Manifest[SpecT]) -> Applied:
        """Creates the resource, or changes it to what the manifest declares, or does nothing.

        Applies of one resource wait for each other, so that the diff of each is right. An apply
        that only changes the order of keys does nothing.

        Raises:
            ConflictError: `metadata.resourceVersion` is given and is not the current one.
        """
        await self.lock_name(context, manifest.name)
        row = await self.find(context, manifest.name, lock=True)
        if row is None:
            manifest.check_version(None)
            context.caller.need(self.quota, Quota.STORED_BYTES)
            operation = "created"
            row = self._ordered(await self.create(context, manifest), manifest)
            diff = await self.initial_changes(context, row)
        else:
            manifest.check_version(self.metadata_of(row)["resourceVersion"])
            diff = await self.changes(context, row, manifest)
            operation = "updated" if diff else "unchanged"
            if diff:
                row = self._ordered(await self.change(context, row, manifest), manifest)
        shown = await self.manifest_of(context, row)
        warnings = context.warnings.pop(manifest.name, [])
        return Applied(self.kind, manifest.name, operation, shown, diff, warnings)

    async def follow_up(self, context: Context, applied: Applied) -> Applied:
        """What an apply has looked up elsewhere once it is committed; most kinds look up nothing.

        Args:
            context: without a transaction, so that nothing else waits meanwhile.
            applied: what was done.
        """
        return applied

    async def describe(self, context: Context, name: str) -> dict[str, Any]:
        """The manifest of a resource with its status; it can be applied again as it is."""
        return await self.manifest_of(context, await self.require(context, name))

    async def get(self, context: Context, query: GetQuery) -> Table:
        """Resources as a table.

        Raises:
            NotFoundError: the query has a name, and no resource has it.
        """
        order = query.order(self.columns, (self.sort_by, self.sort_upwards))
        rows = await self.rows(context, query.model_copy(update={"i": query.i + 1}))
        if query.name is not None and not rows:
            self._raise_not_found(query.name)
        rows, token = query.page(rows, order, self.id_field)
        shown = [await self.manifest_of(context, row) for row in rows] if query.manifests else None
        return replace(to_table(self.columns, rows), manifests=shown, next_token=token)

    async def delete(self, context: Context, name: str) -> None:
        """Deletes a resource.

        Raises:
            ConflictError: other resources name it; they are listed.
        """
        row = await self.require(context, name, lock=True)
        referrers = await context.brokers.referrers(context, self.kind, self.reference_names(row))
        if referrers:
            raise ConflictError(
                f"{self.kind} {name!r} is used by {', '.join(referrers[:20])}.",
                extra={"referrers": referrers},
            )
        await self.remove(context, row)

    async def logs(self, context: Context, name: str, limit: int) -> Table:
        """The most recent log entries of a resource, oldest first; also of one that is gone."""
        row = await self.find(context, name)
        items = [] if row is None else await self.events(context, row, limit)
        known_as = name if row is None else self.metadata_of(row)["name"]
        items += await read_journal(context.db, context.caller, self.kind, known_as, limit)
        if row is None:
            self.check_was_there(context, name, items)
        items.sort(key=lambda item: item["time"])
        return to_table(LOG_COLUMNS, items[-limit:])

    async def example_manifest(self, context: Context) -> dict[str, Any]:
        """A manifest that applies as it is."""
        example: dict[str, Any] = yaml.safe_load(self.example)
        return example

    async def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of its manifests."""
        return manifest_schema(self.kind, self.spec_model, free_names=self.free_names)

    # What a kind defines

    @abstractmethod
    async def find(self, context: Context, name: str, *, lock: bool = False) -> RowT | None:
        """The row of that name in the caller's org."""

    @abstractmethod
    async def rows(self, context: Context, query: GetQuery | None) -> Sequence[RowT]:
        """Rows of the caller's org: all of them, or those that the query selects."""

    @abstractmethod
    async def create(self, context: Context, manifest: Manifest[SpecT]) -> RowT:
        """Inserts a row."""

    @abstractmethod
    async def change(self, context: Context, row: RowT, manifest: Manifest[SpecT]) -> RowT:
        """Changes a row to what the manifest declares; returns the row as it is then."""

    @abstractmethod
    async def remove(self, context: Context, row: RowT) -> None:
        """Deletes a row."""

    @abstractmethod
    def metadata_of(self, row: RowT) -> dict[str, Any]:
        """The metadata of a row, without what is empty; with its `resourceVersion`."""

    @abstractmethod
    async def spec_of(self, context: Context, row: RowT) -> dict[str, Any]:
        """The spec of a row in its normal form, camelCase."""

    async def status_of(self, context: Context, row: RowT) -> dict[str, Any]:
        """The status of a row: what the service adds to its manifest."""
        return {}

    async def events(self, context: Context, row: RowT, limit: int) -> list[dict[str, Any]]:
        """Events of a row that are not in the journal, for `logs`."""
        return []

    def is_callers_own(self, context: Context, row: RowT) -> bool:
        """Whether the request itself needs the row, as its user and its key."""
        return False

    def reference_names(self, row: RowT) -> set[str]:
        """The names by which other resources refer to a row."""
        return {self.metadata_of(row)["name"]}

    def references(self, spec: dict[str, Any]) -> list[Reference]:
        """The resources that a spec names."""
        return []

    async def lock_existing(self, context: Context, name: str) -> bool:
        """Whether a resource is there; if so, nobody deletes it before the transaction ends."""
        return await self.find(context, name) is not None

    async def check_applied(self, context: Context, manifest: Manifest[SpecT]) -> None:
        """Refuses what other resources do not go with, after all documents of an apply.

        Raises:
            BadRequestError: there are such; by default there are none.
        """

    def normal_spec(self, manifest: Manifest[SpecT]) -> dict[str, Any]:
        """The spec of a manifest in its normal form, as `spec_of` gives it of a row."""
        return manifest.spec.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def changes(
        self, context: Context, row: RowT, manifest: Manifest[SpecT]
    ) -> list[FieldChange]:
        """The differences between a row and a manifest."""
        before = await self._declaration(context, row)
        metadata = manifest.metadata.stored() | {"name": before["metadata"]["name"]}
        return await compared(before, {"metadata": metadata, "spec": self.normal_spec(manifest)})

    async def initial_changes(self, context: Context, row: RowT) -> list[FieldChange]:
        """The differences between nothing and a new row."""
        return await compared({}, await self._declaration(context, row))

    # What all kinds share

    def parse(self, envelope: Envelope) -> Manifest[SpecT]:
        """The manifest in an envelope, or `BadRequestError`."""
        return read_manifest(
            envelope,
            self.kind,
            self.spec_model,
            free_names=self.free_names,
            hide_unknown_fields=self.hide_unknown_fields,
        )

    async def require(self, context: Context, name: str, *, lock: bool = False) -> RowT:
        """The row of that name, or `NotFoundError`."""
        row = await self.find(context, name, lock=lock)
        if row is None:
            self._raise_not_found(name)
        return row

    async def manifest_of(self, context: Context, row: RowT) -> dict[str, Any]:
        """The whole manifest of a row."""
        order = getattr(row, "key_order", None) or {}
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": in_order(self.metadata_of(row), order.get("metadata", [])),
            "spec": in_order(await self.spec_of(context, row), order.get("spec", [])),
            "status": await self.status_of(context, row),
        }

    def _ordered(self, row: RowT, manifest: Manifest[SpecT]) -> RowT:
        """The row, with the order in which the manifest names its members."""
        stored: Any = row
        stored.key_order = manifest.key_order
        return row

    async def _declaration(self, context: Context, row: RowT) -> dict[str, Any]:
        """The manifest of a row without its version and its status."""
        metadata = self.metadata_of(row)
        del metadata["resourceVersion"]
        return {"metadata": metadata, "spec": await self.spec_of(context, row)}

    async def lock_name(self, context: Context, name: str) -> None:
        """Serializes applies of one resource, also where there is no row yet."""
        key = f"{context.caller.org_id}/{self.kind}/{name}"
        lock = func.pg_advisory_xact_lock(func.hashtextextended(key, 0))
        (await context.db.exec(select(lock))).all()

    def check_was_there(self, context: Context, name: str, items: list[dict[str, Any]]) -> None:
        """Raises `NotFoundError` unless the caller may read the log of what is gone."""
        # Who might see one that was private is not known any more.
        hidden = self.has_private_rows and not context.caller.has(KeyScope.ADMIN)
        if hidden or all(item["status"] != "200" for item in items):
            self._raise_not_found(name)

    def _raise_not_found(self, name: str) -> NoReturn:
        if not name:
            raise BadRequestError(
                f"Which {self.kind}? Give its name.",
                errors=[{"loc": ["query", "name"], "msg": "missing"}],
            )
        raise NotFoundError(f"There is no {self.kind} {name[:200]!r}.")
