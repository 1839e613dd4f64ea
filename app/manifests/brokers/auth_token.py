"""Kind AuthToken: API keys. The key itself is shown once, when it is made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator
from sqlalchemy import and_, or_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar
from typing_extensions import override

from app.access.caller import KeyScope
from app.access.service import canonical_email, create_key
from app.db.models import ApiKey, Org, User
from app.db.models.columns import NOW
from app.enums import Quota
from app.errors import Loc
from app.kit.moment import Moment
from app.manifests.applied import Applied
from app.manifests.brokers.bases.access import CredentialBroker
from app.manifests.brokers.bases.stored import attribute
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest, bad_manifest, faults_at
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.reference import Reference
from app.manifests.model.table import Column

# Where in a manifest the arguments of `create_key` are.
_PLACES: dict[str, Loc] = {
    "user": ("spec", "user"),
    "scopes": ("spec", "scopes"),
    "expires_at": ("spec", "expirationDate"),
    "description": ("metadata", "description"),
}


class AuthTokenSpec(ManifestModel):
    """Whose key it is, and what it may do."""

    user: Annotated[str, AfterValidator(canonical_email)] = Field(
        description="E-mail address; a new one becomes a member.", max_length=254
    )
    scopes: list[KeyScope] = Field([KeyScope.READ], description="What it may do.", min_length=1)
    expiration_date: Moment | None = Field(
        None, description="From then on it is refused, such as 2030-01-31T12:00:00Z."
    )

    @field_validator("scopes")
    @classmethod
    def _in_order(cls, scopes: list[KeyScope]) -> list[KeyScope]:
        return sorted(set(scopes))


class AuthTokenBroker(CredentialBroker[AuthTokenSpec, ApiKey]):
    """A key that was made without a name goes by its id. Revoked keys are not there any more."""

    kind: ClassVar[str] = "AuthToken"
    quota: ClassVar[Quota] = Quota.KEYS
    other_names: ClassVar[Sequence[str]] = ("SmarterAuthToken",)
    table: ClassVar[Any] = ApiKey
    id_prefix: ClassVar[str] = "key"
    sort_by: ClassVar[str] = "created"
    spec_model = AuthTokenSpec
    refers_to: ClassVar[frozenset[str]] = frozenset({"User"})
    columns: ClassVar[Sequence[Column]] = (
        Column("name", "string", lambda row: row.name or row.id, sort="name"),
        attribute("description"),
        attribute("scopes", "list"),
        attribute("userId", field="user_id"),
        attribute("deployed", "boolean"),
        attribute("created", "datetime"),
        attribute("expirationDate", "datetime", field="expires_at"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: AuthToken
metadata:
  name: example-token
  description: reads what there is
spec:
  user: robot@example.com
  scopes: [read]
"""

    @override
    def visible_rows(self, context: Context) -> SelectOfScalar[Any]:
        return super().visible_rows(context).where(col(ApiKey.revoked_at).is_(None))

    @override
    def has_name(self, name: str) -> Any:
        return or_(
            col(ApiKey.name) == name, and_(col(ApiKey.name).is_(None), col(ApiKey.id) == name)
        )

    @override
    async def apply(self, context: Context, manifest: Manifest[AuthTokenSpec]) -> Applied:
        applied = await super().apply(context, manifest)
        value = context.one_time_values.get(manifest.name)
        if value is None or context.dry_run:
            return applied
        status = applied.manifest["status"] | {"value": value}
        return replace(applied, manifest=applied.manifest | {"status": status})

    @override
    async def create(self, context: Context, manifest: Manifest[AuthTokenSpec]) -> ApiKey:
        org = (await context.db.exec(select(Org.name).where(Org.id == context.caller.org_id))).one()
        stored = manifest.metadata.stored()
        with faults_at(_PLACES):
            made = await create_key(
                context.db,
                context.runtime.settings,
                org=org,
                user=manifest.spec.user,
                scopes=manifest.spec.scopes,
                expires_at=manifest.spec.expiration_date,
                description=stored.pop("description", None),
            )
        context.one_time_values[manifest.name] = made.api_key
        row = (await context.db.exec(select(ApiKey).where(ApiKey.id == made.key_id))).one()
        row.name, row.meta = manifest.name, stored
        await context.db.flush()
        return row

    @override
    async def change(
        self, context: Context, row: ApiKey, manifest: Manifest[AuthTokenSpec]
    ) -> ApiKey:
        if manifest.spec.user != await self._email(context, row):
            msg = "a key keeps its user; make another key"
            raise bad_manifest([{"loc": ["spec", "user"], "msg": msg}])
        return await super().change(context, row, manifest)

    @override
    async def remove(self, context: Context, row: ApiKey) -> None:
        row.revoked_at = NOW  # type: ignore[assignment] # an SQL expression; not read again
        row.name = None
        await context.db.flush()

    @override
    def stored_spec(self, context: Context, manifest: Manifest[AuthTokenSpec]) -> dict[str, Any]:
        stored = manifest.metadata.stored()
        return {
            "description": stored.pop("description", None),
            "meta": stored,
            "scopes": [scope.value for scope in manifest.spec.scopes],
            "expires_at": manifest.spec.expiration_date,
        }

    @override
    def metadata_of(self, row: ApiKey) -> dict[str, Any]:
        described = {"description": row.description} if row.description is not None else {}
        name, meta = row.name or row.id, row.meta or {}
        return {"name": name, **described, **meta, "resourceVersion": str(row.version)}

    @override
    async def spec_of(self, context: Context, row: ApiKey) -> dict[str, Any]:
        spec = AuthTokenSpec.model_construct(
            user=await self._email(context, row),
            scopes=sorted(KeyScope(scope) for scope in row.scopes),
            expiration_date=row.expires_at,
        )
        return spec.model_dump(mode="json", by_alias=True, exclude_none=True)

    @override
    def references(self, spec: dict[str, Any]) -> list[Reference]:
        return [Reference("User", spec["user"], ("user",))]

    async def _email(self, context: Context, row: ApiKey) -> str:
        query = select(User.email).where(User.id == row.user_id)
        return canonical_email((await context.db.exec(query)).one())
