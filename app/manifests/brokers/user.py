"""Kind User: the members of the caller's org, by e-mail address."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from sqlmodel import col, delete, func
from typing_extensions import override

from app.access.service import canonical_email, create_user
from app.db.models import ApiKey, User
from app.errors import ConflictError
from app.manifests.brokers.bases.access import CredentialBroker
from app.manifests.brokers.bases.stored import attribute, meta_field
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, faults_at
from app.manifests.model.metadata import ManifestModel
from app.manifests.model.table import Column
from app.skills.authors import replace_author


class UserSpec(ManifestModel):
    """All that there is to say of a user is in the metadata."""


class UserBroker(CredentialBroker[UserSpec, User]):
    """The name is the e-mail address."""

    kind: ClassVar[str] = "User"
    table: ClassVar[Any] = User
    id_prefix: ClassVar[str] = "usr"
    name_field: ClassVar[str] = "email"
    sort_by: ClassVar[str] = "email"
    spec_model = UserSpec
    columns: ClassVar[Sequence[Column]] = (
        attribute("name", field="email"),
        meta_field("description"),
        attribute("id"),
        attribute("deployed", "boolean"),
        attribute("created", "datetime"),
    )
    example: ClassVar[str] = """\
apiVersion: statewright/v1
kind: User
metadata:
  name: robin@example.com
  description: looks after the agents
spec: {}
"""

    @override
    def has_name(self, name: str) -> Any:
        return func.lower(User.email) == canonical_email(name)

    @override
    def parse(self, envelope: Envelope) -> Manifest[UserSpec]:
        manifest = super().parse(envelope)
        name = canonical_email(manifest.name)
        return replace(manifest, metadata=manifest.metadata.model_copy(update={"name": name}))

    @override
    async def create(self, context: Context, manifest: Manifest[UserSpec]) -> User:
        with faults_at({"name": ("metadata", "name")}):
            user = await create_user(context.db, context.caller.org_id, manifest.name)
        user.meta = manifest.metadata.stored()
        await context.db.flush()
        return user

    @override
    async def remove(self, context: Context, row: User) -> None:
        if self.is_callers_own(context, row):
            raise ConflictError("This is the user whose API key deletes it.")
        await context.db.exec(delete(ApiKey).where(col(ApiKey.user_id) == row.id))
        await replace_author(context.db, context.caller, row.id)
        await super().remove(context, row)
