"""Kind Device: something that records, known by its id."""

from collections.abc import Sequence
from typing import ClassVar

from app.manifests.brokers.bases.entity import EntityBroker, EntitySpec
from app.manifests.brokers.bases.stored import COLUMNS, attribute
from app.manifests.model.table import Column


class DeviceBroker(EntityBroker[EntitySpec]):
    """Ids are `dv_…`."""

    kind: ClassVar[str] = "Device"
    id_prefix: ClassVar[str] = "dv"
    spec_model = EntitySpec
    columns: ClassVar[Sequence[Column]] = (attribute("id"), *COLUMNS)
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Device
metadata:
  name: example-device
  description: something that records
spec:
  properties:
    place: hall 3
"""
