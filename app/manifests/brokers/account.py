"""Kind Account: the caller's org."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import true
from sqlmodel import select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.db.models import Org
from app.errors import NotFoundError, VerbNotAllowedError
from app.manifests.brokers.bases.access import AccessBroker
from app.manifests.brokers.bases.stored import attribute, meta_field
from app.manifests.context import Context
from app.manifests.model.camel import to_camel_keys, to_snake_keys
from app.manifests.model.envelope import Manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column
from app.wire.budget import Budget


class AccountQuotas(ManifestModel):
    """How much the org may have, where that is less than the service allows."""

    requests_per_second: int | None = Field(
        None, ge=1, description="Requests of its keys to one process of the API, each second."
    )
    requests_at_once: int | None = Field(
        None, ge=1, description="Requests that are answered, or held by a `wait`, at once."
    )
    running_steps: int | None = Field(None, ge=0, description="Steps that run or wait for a slot.")
    stored_bytes: int | None = Field(
        None, ge=0, description="Bytes of sessions, flows, agents and skills."
    )
    sessions: int | None = Field(None, ge=0, description="Sessions, of threads and of flows.")
    flows: int | None = Field(None, ge=0, description="Flows.")
    agents: int | None = Field(None, ge=0, description="Agents.")
    skills: int | None = Field(None, ge=0, description="Skills.")
    secrets: int | None = Field(None, ge=0, description="Secrets.")
    keys: int | None = Field(None, ge=0, description="API keys that are not revoked.")
    resources: int | None = Field(
        None, ge=0, description="Tools, Providers, connections and the like."
    )


class AccountSpec(ManifestModel):
    """What bounds the org."""

    budget: Annotated[
        Budget | None, BeforeValidator(lambda value: to_snake_keys(value, Budget))
    ] = Field(None, description="What requests to models of all its sessions may take.")
    quotas: AccountQuotas | None = Field(None, description="How much it may have.")


class AccountBroker(AccessBroker[AccountSpec, Org]):
    """An org is made with its first key, and sees itself only."""

    kind: ClassVar[str] = "Account"
    table: ClassVar[Any] = Org
    id_prefix: ClassVar[str] = "org"
    spec_model = AccountSpec
    refused_verbs: ClassVar[frozenset[str]] = frozenset({"delete"})
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
    def has_name(self, name: str) -> Any:
        """The condition of a name; without one, of the caller's own, the only one that they see."""
        return Org.name == name if name else true()

    @override
    def stored_spec(self, context: Context, manifest: Manifest[AccountSpec]) -> dict[str, Any]:
        return {"budget": _stored_budget(manifest.spec), "quotas": _stored_quotas(manifest.spec)}

    @override
    async def spec_of(self, context: Context, row: Org) -> dict[str, Any]:
        return _spec(row.budget, row.quotas)

    @override
    def normal_spec(self, manifest: Manifest[AccountSpec]) -> dict[str, Any]:
        return _spec(_stored_budget(manifest.spec), _stored_quotas(manifest.spec))

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


def _stored_budget(spec: AccountSpec) -> dict[str, Any] | None:
    budget = spec.budget.model_dump(mode="json", exclude_none=True) if spec.budget else {}
    return budget or None


def _stored_quotas(spec: AccountSpec) -> dict[str, Any] | None:
    return (spec.quotas.model_dump(exclude_none=True) if spec.quotas else {}) or None


def _spec(budget: dict[str, Any] | None, quotas: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"budget": to_camel_keys(budget, Budget)} if budget else {}
    if quotas:
        shown["quotas"] = {to_camel(name): limit for name, limit in quotas.items()}
    return shown
