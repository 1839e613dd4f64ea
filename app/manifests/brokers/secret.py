"""Kind Secret: a value that is stored encrypted, used by other resources, and never shown."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import AfterValidator, Field
from typing_extensions import override

from app.access.caller import KeyScope
from app.access.crypto import DecryptionError, EncryptionKeyError, SecretLocation
from app.db.models import Secret
from app.enums import Quota
from app.errors import BadRequestError, ForbiddenError
from app.invokers.web.hosts import check_host
from app.kit.credential import Credential
from app.kit.moment import Moment
from app.manifests.brokers.bases.connection import host_rule, may_point
from app.manifests.brokers.bases.stored import COLUMNS, StoredBroker, attribute
from app.manifests.context import Context
from app.manifests.model.diff import FieldChange, masked
from app.manifests.model.envelope import Manifest, bad_manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column

_VALUE = "/spec/config/value"
_Host: TypeAlias = Annotated[str, Field(max_length=300), AfterValidator(check_host)]


class UsableBy(StrEnum):
    """The scope of the keys that may name a Secret in connections."""

    WRITE = "write"
    ADMIN = "admin"


class SecretConfig(ManifestModel):
    """The value and how long it may be used."""

    value: Credential | None = Field(
        None,
        description="Never shown again. Left out, a secret that is there keeps its value.",
        min_length=1,
        max_length=4_096,  # no server takes longer headers; masking costs by its length
    )
    expiration_date: Moment | None = Field(
        None, description="From then on it is not used, such as 2030-01-31T12:00:00Z."
    )

    allowed_hosts: list[_Host] | None = Field(
        None,
        description="Where it may be sent over https, as `api.example.com` or with a port; with "
        "`http://` before it, where it may be sent in the clear. Left out: to the hosts of the "
        "connections that an admin, or who gave the value, points with it, as these say.",
        max_length=50,
        examples=[["api.example.com", "http://localhost:9000"]],
    )
    usable_by: UsableBy = Field(
        UsableBy.WRITE,
        description="admin: only a key with this scope may change or delete it, name it in "
        "connections, and change where and how these send it.",
    )


class SecretSpec(ManifestModel):
    """A secret."""

    config: SecretConfig = SecretConfig()


class SecretBroker(StoredBroker[SecretSpec, Secret]):
    """The ciphertext is bound to org, kind and name: in another row it cannot be read."""

    kind: ClassVar[str] = "Secret"
    quota: ClassVar[Quota] = Quota.SECRETS
    table: ClassVar[Any] = Secret
    id_prefix: ClassVar[str] = "sec"
    spec_model = SecretSpec
    hide_unknown_fields: ClassVar[bool] = True
    columns: ClassVar[Sequence[Column]] = (
        *COLUMNS,
        attribute("expirationDate", "datetime", field="expires_at"),
        attribute("lastUsed", "datetime", field="last_used_at"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: Secret
metadata:
  name: example-secret
  description: the key of a model provider
spec:
  config:
    value: change-me
    allowedHosts:
      - api.example.com
      - models.example.com
    expirationDate: "2099-12-31T00:00:00Z"
"""

    @override
    async def create(self, context: Context, manifest: Manifest[SecretSpec]) -> Secret:
        if manifest.spec.config.value is None:
            raise bad_manifest(
                [{"loc": ["spec", "config", "value"], "msg": "a new secret needs a value"}]
            )
        return await super().create(context, manifest)

    @override
    async def change(self, context: Context, row: Secret, manifest: Manifest[SecretSpec]) -> Secret:
        self._require_right(context, row)
        config = manifest.spec.config
        rules = (config.allowed_hosts, config.usable_by)
        if rules != (row.allowed_hosts, row.usable_by) and config.value is None:
            _require_giver(context, row)
        return await super().change(context, row, manifest)

    @override
    async def remove(self, context: Context, row: Secret) -> None:
        self._require_right(context, row)
        await super().remove(context, row)

    def _require_right(self, context: Context, row: Secret) -> None:
        caller = context.caller
        for_admins = row.usable_by == UsableBy.ADMIN and not caller.has(KeyScope.ADMIN)
        if for_admins and caller.has(self.write_scope):
            raise ForbiddenError(
                f"The usableBy of Secret {row.name!r} asks for an API key with scope 'admin' to "
                "change or delete it."
            )

    @override
    def stored_spec(self, context: Context, manifest: Manifest[SecretSpec]) -> dict[str, Any]:
        config = manifest.spec.config
        stored: dict[str, Any] = {
            "expires_at": config.expiration_date,
            "allowed_hosts": config.allowed_hosts,
            "usable_by": config.usable_by.value,
        }
        if config.value is not None:
            place = SecretLocation(context.caller.org_id, self.kind, manifest.name)
            try:
                key_id, sealed = context.vault.encrypt(config.value.get_secret_value(), place)
            except EncryptionKeyError as error:
                raise BadRequestError(str(error)) from None
            stored |= {"key_id": key_id, "ciphertext": sealed, "value_by": context.caller.user_id}
        return stored

    @override
    def normal_spec(self, manifest: Manifest[SecretSpec]) -> dict[str, Any]:
        config = manifest.spec.config
        return _shown(config.expiration_date, config.allowed_hosts, config.usable_by)

    @override
    async def spec_of(self, context: Context, row: Secret) -> dict[str, Any]:
        return _shown(row.expires_at, row.allowed_hosts, row.usable_by)

    @override
    async def changes(
        self, context: Context, row: Secret, manifest: Manifest[SecretSpec]
    ) -> list[FieldChange]:
        """The differences; only an admin, and who gave the value, learn whether it is another."""
        value = manifest.spec.config.value
        found = await super().changes(context, row, manifest)
        if not context.caller.has(self.write_scope):
            return found
        if value is None:
            return found
        known = may_point(context, row) and self._value_of(context, row)
        if value.get_secret_value() != known:
            found.append(masked(_VALUE, "replace"))
        return found

    @override
    async def initial_changes(self, context: Context, row: Secret) -> list[FieldChange]:
        return [*await super().initial_changes(context, row), masked(_VALUE, "add")]

    @override
    async def status_of(self, context: Context, row: Secret) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            **await super().status_of(context, row),
            "hosts": host_rule(row).hosts,
            "lastUsed": row.last_used_at,
            "expired": bool(row.expires_at and row.expires_at <= now),
        }

    def _value_of(self, context: Context, row: Secret) -> str | None:
        """The value; None if it cannot be decrypted any more, so that a new one can be given."""
        try:
            return context.vault.decrypt(
                row.key_id, row.ciphertext, SecretLocation(row.org_id, self.kind, row.name)
            )
        except DecryptionError:
            return None


def _shown(expiry: datetime | None, hosts: list[str] | None, usable_by: str) -> dict[str, Any]:
    """The spec as it is shown: without the value, and without what is the default."""
    config: dict[str, Any] = {"expirationDate": expiry} if expiry else {}
    if hosts is not None:
        config["allowedHosts"] = hosts
    if usable_by != UsableBy.WRITE:
        config["usableBy"] = usable_by
    return {"config": config}


def _require_giver(context: Context, row: Secret) -> None:
    if may_point(context, row):
        return
    text = (
        f"Changing where Secret {row.name!r} may be sent, or who may use it, needs an API key with "
        "scope 'admin', or one of who gave its value"
    )
    raise ForbiddenError(f"{text}.", errors=[{"loc": ["spec", "config"], "msg": text}])
