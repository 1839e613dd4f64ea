"""Kinds that need no table of their own: their manifest is a row of the table `resource`."""

from typing import Any, ClassVar, Generic

from typing_extensions import override

from app.db.models import Resource
from app.manifests.brokers.bases.stored import SharedTableBroker
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest, SpecT
from app.manifests.model.table import Column


def spec_field(name: str, *path: str) -> Column:
    """A column of `get` that shows a member of the spec."""

    def read(row: Resource) -> Any:
        value: Any = row.spec
        for key in path or (name,):
            value = (value or {}).get(key)
        return value

    return Column(name, "string", read)


class ResourceBroker(SharedTableBroker[SpecT, Resource], Generic[SpecT]):
    """The spec is stored as the manifest says it, with defaults filled in."""

    table: ClassVar[Any] = Resource

    @override
    def stored_spec(self, context: Context, manifest: Manifest[SpecT]) -> dict[str, Any]:
        return {"kind": self.kind, "spec": self.normal_spec(manifest)}

    @override
    async def spec_of(self, context: Context, row: Resource) -> dict[str, Any]:
        return row.spec
