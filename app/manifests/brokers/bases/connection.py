"""`ConnectionBroker`: kinds that send Secrets to hosts, which is a right of its own."""

from typing import Any, Generic

from sqlmodel import col, select
from typing_extensions import override

from app.access.caller import KeyScope
from app.db.models import Resource, Secret
from app.errors import ForbiddenError
from app.kit.invalid import InvalidValueError
from app.manifests.brokers.bases.resource import ResourceBroker
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, SpecT, bad_manifest
from app.manifests.model.secret_hosts import HostRule, Uses, secret_uses


def host_rule(secret: Secret) -> HostRule:
    """Where a Secret may be sent."""
    return HostRule(secret.allowed_hosts, secret.hosts, _giver(secret))


def _giver(secret: Secret) -> str:
    """The user who gave the value."""
    return secret.value_by or secret.created_by


class ConnectionBroker(ResourceBroker[SpecT], Generic[SpecT]):
    """A Secret goes to hosts that it may be sent to; which ones these are is for who may say so.

    An admin may point a connection with any Secret anywhere, and so may who gave its value. Others
    may point one at the hosts that count already, or leave it pointed where it is.
    """

    @override
    def parse(self, envelope: Envelope) -> Manifest[SpecT]:
        manifest = super().parse(envelope)
        try:
            self._uses(self.normal_spec(manifest))
        except InvalidValueError as error:
            raise bad_manifest([{"loc": ["spec"], "msg": str(error)}]) from None
        return manifest

    @override
    async def create(self, context: Context, manifest: Manifest[SpecT]) -> Resource:
        await self._require_right(context, {}, self._uses(self.normal_spec(manifest)))
        return await super().create(context, manifest)

    @override
    async def change(self, context: Context, row: Resource, manifest: Manifest[SpecT]) -> Resource:
        after = self._uses(self.normal_spec(manifest))
        await self._require_right(context, self._uses(row.spec), after)
        return await super().change(context, row, manifest)

    @override
    async def check_applied(self, context: Context, manifest: Manifest[SpecT]) -> None:
        """Notes the hosts that the caller vouches for, also where nothing else was changed."""
        uses = self._uses(self.normal_spec(manifest))
        for secret in await _secrets(context, uses):
            rule, hosts = host_rule(secret), uses[secret.name]
            if rule.declared is None and may_point(context, secret) and rule.outside(hosts):
                by = None if context.caller.has(KeyScope.ADMIN) else context.caller.user_id
                secret.hosts = {**secret.hosts, **dict.fromkeys(rule.outside(hosts), by)}
        await context.db.flush()

    def _uses(self, spec: dict[str, Any]) -> Uses:
        return secret_uses(self.kind, spec)

    async def _require_right(self, context: Context, before: Uses, after: Uses) -> None:
        """Refuses a use of a Secret that is new, and not the caller's to make.

        Raises:
            ForbiddenError: an admin may.
            BadRequestError: nobody may before the Secret's own manifest says so.
        """
        if not context.caller.has(self.write_scope):
            return  # only compares, and saves nothing
        new = {
            name: hosts for name, hosts in after.items() if hosts - before.get(name, frozenset())
        }
        for secret in await _secrets(context, new):
            _check_use(context, secret, host_rule(secret), new[secret.name])


def _check_use(context: Context, secret: Secret, rule: HostRule, hosts: frozenset[str]) -> None:
    if secret.usable_by == KeyScope.ADMIN and not context.caller.has(KeyScope.ADMIN):
        raise ForbiddenError(
            f"The usableBy of Secret {secret.name!r} asks for an API key with scope 'admin'."
        )
    outside = rule.outside(hosts)
    if not outside:
        return
    if not may_point(context, secret):
        raise ForbiddenError(
            f"Sending Secret {secret.name!r} to {outside[0]} needs an API key with scope 'admin', "
            "or one of who gave its value."
        )
    if rule.declared is not None:
        msg = f"the allowedHosts of Secret {secret.name!r} do not name {outside[0]}"
        raise bad_manifest([{"loc": ["spec"], "msg": msg}])


def may_point(context: Context, secret: Secret) -> bool:
    """Whether the caller may say where a Secret goes: an admin, or who gave its value."""
    caller = context.caller
    is_giver = _giver(secret) == caller.user_id
    return caller.has(KeyScope.ADMIN) or (is_giver and caller.has(KeyScope.WRITE))


async def _secrets(context: Context, uses: Uses) -> list[Secret]:
    """The Secrets that are there, kept as they are until the transaction ends."""
    if not uses:
        return []
    query = (
        select(Secret)
        .where(Secret.org_id == context.caller.org_id, col(Secret.name).in_(uses))
        .order_by(Secret.name)
        .with_for_update(key_share=True)
    )
    return list((await context.db.exec(query)).all())
