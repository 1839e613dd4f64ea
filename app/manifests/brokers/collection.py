"""Kind Collection: a group of things of one type, known by its id."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field
from sqlmodel import col
from typing_extensions import override

from app.agents.record import CollectionContentType
from app.db.models import DatasetEvent, Entity
from app.manifests.brokers.bases.entity import EntityBroker, EntitySpec
from app.manifests.brokers.bases.found_events import found_events
from app.manifests.brokers.bases.stored import COLUMNS, attribute
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest
from app.manifests.model.table import Column


class CollectionSpec(EntitySpec):
    """What is known of a collection."""

    content_type: CollectionContentType | None = Field(None, description="What it holds.")


class CollectionBroker(EntityBroker[CollectionSpec]):
    """Ids are `cl_…`."""

    kind: ClassVar[str] = "Collection"
    id_prefix: ClassVar[str] = "cl"
    spec_model = CollectionSpec
    columns: ClassVar[Sequence[Column]] = (
        attribute("id"),
        attribute("contentType", field="content_type"),
        *COLUMNS,
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Collection
metadata:
  name: example-collection
  description: the recordings of one day
spec:
  contentType: file
  properties:
    day: 2030-01-31
"""

    @override
    def stored_spec(self, context: Context, manifest: Manifest[CollectionSpec]) -> dict[str, Any]:
        content_type = manifest.spec.content_type
        return {
            **super().stored_spec(context, manifest),
            "content_type": content_type.value if content_type else None,
        }

    @override
    async def spec_of(self, context: Context, row: Entity) -> dict[str, Any]:
        spec = await super().spec_of(context, row)
        return spec | ({"contentType": row.content_type} if row.content_type else {})

    @override
    async def events(self, context: Context, row: Entity, limit: int) -> list[dict[str, Any]]:
        return await found_events(context, col(DatasetEvent.collection_id) == row.id, limit)
