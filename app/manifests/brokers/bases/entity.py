"""What the kinds Dataset, Device and Collection have in common: rows of the table `entity`."""

from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field
from typing_extensions import override

from app.db.models import Entity
from app.manifests.brokers.bases.stored import SharedTableBroker
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest
from app.manifests.model.metadata import ManifestModel


class EntitySpec(ManifestModel):
    """What is known of an entity."""

    properties: dict[str, Any] = Field({}, description="Anything; it is kept as it is.")


EntitySpecT = TypeVar("EntitySpecT", bound=EntitySpec)


class EntityBroker(SharedTableBroker[EntitySpecT, Entity], Generic[EntitySpecT]):
    """An entity's id is what typed variables of agents take as their value."""

    table: ClassVar[Any] = Entity

    @override
    def stored_spec(self, context: Context, manifest: Manifest[EntitySpecT]) -> dict[str, Any]:
        return {"kind": self.kind, "properties": manifest.spec.properties}

    @override
    async def spec_of(self, context: Context, row: Entity) -> dict[str, Any]:
        return {"properties": row.properties}

    @override
    async def status_of(self, context: Context, row: Entity) -> dict[str, Any]:
        return {"id": row.id, **await super().status_of(context, row)}

    @override
    def reference_names(self, row: Entity) -> set[str]:
        return {row.id, row.name}
