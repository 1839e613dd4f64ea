"""What the kinds Account, User and AuthToken have in common: only admins change them."""

from typing import Any, ClassVar, Generic

from typing_extensions import override

from app.access.caller import KeyScope
from app.errors import ConflictError
from app.manifests.broker import RowT
from app.manifests.brokers.bases.stored import StoredBroker
from app.manifests.context import Context
from app.manifests.model.envelope import Manifest, SpecT


class AccessBroker(StoredBroker[SpecT, RowT], Generic[SpecT, RowT]):
    """A base of kinds whose tables say when a row was made, and not when it was changed."""

    write_scope: ClassVar[KeyScope] = KeyScope.ADMIN
    free_names: ClassVar[bool] = True

    @override
    async def change(self, context: Context, row: RowT, manifest: Manifest[SpecT]) -> RowT:
        self.declare(context, row, manifest)
        await context.db.flush()
        return row

    @override
    def stored_spec(self, context: Context, manifest: Manifest[SpecT]) -> dict[str, Any]:
        return {}

    @override
    async def spec_of(self, context: Context, row: RowT) -> dict[str, Any]:
        return {}

    @override
    async def status_of(self, context: Context, row: RowT) -> dict[str, Any]:
        stored: Any = row
        return {"id": stored.id, "created": stored.created}


class CredentialBroker(AccessBroker[SpecT, RowT], Generic[SpecT, RowT]):
    """Who or what an API key is of: undeployed, it is refused until it is deployed again."""

    @override
    def is_callers_own(self, context: Context, row: RowT) -> bool:
        stored: Any = row
        return stored.id in (context.caller.user_id, context.caller.key_id)

    @override
    async def deploy(self, context: Context, name: str) -> None:
        row: Any = await self.require(context, name, lock=True)
        row.deployed = True

    @override
    async def undeploy(self, context: Context, name: str) -> None:
        row: Any = await self.require(context, name, lock=True)
        if self.is_callers_own(context, row):
            raise ConflictError(f"This is the {self.kind} that asks for it.")
        row.deployed = False

    @override
    async def status_of(self, context: Context, row: RowT) -> dict[str, Any]:
        stored: Any = row
        return {**await super().status_of(context, row), "deployed": stored.deployed}
