"""Kind Dataset: a set of files, known by its id."""

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlmodel import col
from typing_extensions import override

from app.db.models import DatasetEvent, Entity
from app.manifests.brokers.bases.entity import EntityBroker, EntitySpec
from app.manifests.brokers.bases.found_events import found_events
from app.manifests.brokers.bases.stored import COLUMNS, attribute
from app.manifests.context import Context
from app.manifests.model.table import Column


class DatasetBroker(EntityBroker[EntitySpec]):
    """Ids are `ds_…`."""

    kind: ClassVar[str] = "Dataset"
    id_prefix: ClassVar[str] = "ds"
    spec_model = EntitySpec
    columns: ClassVar[Sequence[Column]] = (attribute("id"), *COLUMNS)
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Dataset
metadata:
  name: example-dataset
  description: a set of files
spec:
  properties:
    place: hall 3
"""

    @override
    async def status_of(self, context: Context, row: Entity) -> dict[str, Any]:
        said = {} if row.summary is None else {"summary": row.summary}
        return {**await super().status_of(context, row), **said, "tags": row.tags}

    @override
    async def events(self, context: Context, row: Entity, limit: int) -> list[dict[str, Any]]:
        return await found_events(context, col(DatasetEvent.dataset_id) == row.id, limit)
