"""Kind Account: the caller's org."""

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.db.models import Org
from app.errors import NotFoundError, VerbNotAllowedError
from app.manifests.brokers.bases.access import AccessBroker
from app.manifests.brokers.bases.stored import attribute, meta_field
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column


class AccountSpec(ManifestModel):
    """All that there is to say of an org is in its metadata."""


class AccountBroker(AccessBroker[AccountSpec, Org]):
    """An org is made with its first key, and sees itself only."""

    kind: ClassVar[str] = "Account"
    table: ClassVar[Any] = Org
    id_prefix: ClassVar[str] = "org"
    spec_model = AccountSpec
    columns: ClassVar[Sequence[Column]] = (
        attribute("name"),
        meta_field("description"),
        attribute("id"),
        attribute("created", "datetime"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Account
metadata:
  name: example-account
  description: who we are
spec: {}
"""

    @override
    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        return select(Org).where(Org.id == context.caller.org_id)

    @override
    async def example_manifest(self, context: Context) -> dict[str, Any]:
        """The caller's own org: it is the only one that can be applied."""
        example = await super().example_manifest(context)
        (org,) = await self.rows(context, None)
        example["metadata"]["name"] = org.name
        return example

    @override
    async def create(self, context: Context, manifest: Manifest[AccountSpec]) -> Org:
        raise NotFoundError(
            f"There is no Account {manifest.name!r} that this API key can see. Orgs are made with "
            "`statewright key create`."
        )

    @override
    async def remove(self, context: Context, row: Org) -> None:
        raise VerbNotAllowedError("Accounts are not deleted through manifests.")
