"""Kind Secret: a value that is stored encrypted, used by other resources, and never shown."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field
from typing_extensions import override

from app.access.crypto import DecryptionError, EncryptionKeyError, SecretLocation
from app.db.models import Secret
from app.errors import BadRequestError
from app.kit.credential import Credential
from app.kit.moment import Moment
from app.manifests.brokers.bases.stored import COLUMNS, StoredBroker, attribute
from app.manifests.context import Context
from app.manifests.model.diff import FieldChange, masked
from app.manifests.model.envelope import Manifest, bad_manifest
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column

_VALUE = "/spec/config/value"


class SecretConfig(ManifestModel):
    """The value and how long it may be used."""

    value: Credential | None = Field(
        None,
        description="Never shown again. Left out, a secret that is there keeps its value.",
        min_length=1,
        max_length=65_536,
    )
    expiration_date: Moment | None = Field(
        None, description="From then on it is not used, such as 2030-01-31T12:00:00Z."
    )


class SecretSpec(ManifestModel):
    """A secret."""

    config: SecretConfig = SecretConfig()


class SecretBroker(StoredBroker[SecretSpec, Secret]):
    """The ciphertext is bound to org, kind and name: in another row it cannot be read."""

    kind: ClassVar[str] = "Secret"
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
    def stored_spec(self, context: Context, manifest: Manifest[SecretSpec]) -> dict[str, Any]:
        config = manifest.spec.config
        stored: dict[str, Any] = {"expires_at": config.expiration_date}
        if config.value is not None:
            place = SecretLocation(context.caller.org_id, self.kind, manifest.name)
            try:
                key_id, sealed = context.vault.encrypt(config.value.get_secret_value(), place)
            except EncryptionKeyError as error:
                raise BadRequestError(str(error)) from None
            stored |= {"key_id": key_id, "ciphertext": sealed}
        return stored

    @override
    def normal_spec(self, manifest: Manifest[SecretSpec]) -> dict[str, Any]:
        expiry = manifest.spec.config.expiration_date
        return {"config": {"expirationDate": expiry} if expiry else {}}

    @override
    async def spec_of(self, context: Context, row: Secret) -> dict[str, Any]:
        return {"config": {"expirationDate": row.expires_at} if row.expires_at else {}}

    @override
    async def changes(
        self, context: Context, row: Secret, manifest: Manifest[SecretSpec]
    ) -> list[FieldChange]:
        """Who may not write does not learn whether a value is the one that is there."""
        value = manifest.spec.config.value
        found = await super().changes(context, row, manifest)
        if not context.caller.has(self.write_scope):
            return found
        if value is not None and value.get_secret_value() != self._value_of(context, row):
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
