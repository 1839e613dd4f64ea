"""`ConnectionBroker`: kinds that send Secrets to hosts, which is a right of its own."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Generic, NoReturn

from sqlmodel import col, select
from typing_extensions import override

from app.access.caller import KeyScope
from app.db.models import Resource, Secret
from app.errors import ForbiddenError, Loc
from app.kit.invalid import InvalidValueError
from app.manifests.brokers.bases.resource import ResourceBroker
from app.manifests.context import Context
from app.manifests.model.envelope import Envelope, Manifest, SpecT, bad_manifest
from app.manifests.model.secret_hosts import HostRule, Uses, secret_uses

MAX_NOTED = 100  # hosts of a Secret that are learned: each step that sends it reads them
# What of a connection says how it sends its Secrets, beside where it names them.
_SENT_BY = ("type", "baseUrl", "authMethod", "tokenUrl", "url")


def host_rule(secret: Secret) -> HostRule:
    """Where a Secret may be sent."""
    return HostRule(secret.allowed_hosts, secret.hosts, _giver(secret))


def _giver(secret: Secret) -> str:
    """The user who gave the value; an empty text if nobody knows."""
    return secret.created_by if secret.value_by is None else secret.value_by


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
        await self._require_right(context, None, self.normal_spec(manifest))
        return await super().create(context, manifest)

    @override
    async def change(self, context: Context, row: Resource, manifest: Manifest[SpecT]) -> Resource:
        await self._require_right(context, row.spec, self.normal_spec(manifest))
        return await super().change(context, row, manifest)

    @override
    async def check_applied(self, context: Context, manifest: Manifest[SpecT]) -> None:
        """Notes the hosts that the caller vouches for, also where nothing else was changed."""
        spec = self.normal_spec(manifest)
        uses, named = self._uses(spec), self._named(spec)
        for secret in await _secrets(context, uses):
            rule, hosts = host_rule(secret), uses[secret.name]
            if rule.declared is None and may_point(context, secret) and rule.outside(hosts):
                by = None if context.caller.has(KeyScope.ADMIN) else context.caller.user_id
                noted = {**secret.hosts, **dict.fromkeys(rule.outside(hosts), by)}
                if len(noted) > MAX_NOTED:
                    _refuse_more(secret, next(iter(named[secret.name])))
                secret.hosts = noted
        await context.db.flush()

    def _uses(self, spec: dict[str, Any]) -> Uses:
        return secret_uses(self.kind, spec)

    def _named(self, spec: dict[str, Any]) -> dict[str, dict[Loc, tuple[Any, ...]]]:
        """The Secrets that a spec names: each with the places, and how it is sent from there."""
        where = spec.get("connection", spec)
        sent_by = tuple(where.get(field) for field in _SENT_BY)
        found: dict[str, dict[Loc, tuple[Any, ...]]] = defaultdict(dict)
        for reference in self.references(spec):
            found[reference.name][reference.path] = sent_by
        return found

    async def _require_right(
        self, context: Context, before: dict[str, Any] | None, after: dict[str, Any]
    ) -> None:
        """Refuses a use of a Secret that is new, and not the caller's to make.

        Raises:
            ForbiddenError: an admin may.
            BadRequestError: nobody may before the Secret's own manifest says so.
        """
        if not context.caller.has(self.write_scope):
            return  # only compares, and saves nothing
        had, has = ({} if before is None else self._named(before)), self._named(after)
        went, goes = ({} if before is None else self._uses(before)), self._uses(after)
        new = {  # each with the first place that is new
            name: place
            for name, places in has.items()
            for place, sent_by in reversed(places.items())
            if had.get(name, {}).get(place) != sent_by
        }
        for secret in await _secrets(context, new):
            hosts, name = goes[secret.name], secret.name
            is_elsewhere = bool(hosts - went.get(name, frozenset()))
            _check_use(context, secret, hosts if is_elsewhere else frozenset(), new[name])


def _check_use(context: Context, secret: Secret, hosts: frozenset[str], place: Loc) -> None:
    rule = host_rule(secret)
    if secret.usable_by == KeyScope.ADMIN and not context.caller.has(KeyScope.ADMIN):
        raise _forbidden(
            place,
            f"The usableBy of Secret {secret.name!r} asks for an API key with scope 'admin': have "
            "an admin apply this",
        )
    outside = rule.outside(hosts)
    if not outside:
        return
    if not may_point(context, secret):
        how = "add it to its allowedHosts" if rule.declared is not None else "apply this"
        raise _forbidden(
            place,
            f"Sending Secret {secret.name!r} to {outside[0]} needs an API key with scope 'admin', "
            f"or one of who gave its value: have one of them {how}",
        )
    if rule.declared is not None:
        msg = f"the allowedHosts of Secret {secret.name!r} do not name {outside[0]}"
        raise bad_manifest([{"loc": ["spec", *place], "msg": msg}])


def _refuse_more(secret: Secret, place: Loc) -> NoReturn:
    msg = (
        f"Secret {secret.name!r} was pointed at {MAX_NOTED} hosts already: name those that it is "
        "for in its allowedHosts"
    )
    raise bad_manifest([{"loc": ["spec", *place], "msg": msg}])


def _forbidden(place: Loc, text: str) -> ForbiddenError:
    return ForbiddenError(f"{text}.", errors=[{"loc": ["spec", *place], "msg": text}])


def may_point(context: Context, secret: Secret) -> bool:
    """Whether the caller may say where a Secret goes: an admin, or who gave its value."""
    caller = context.caller
    is_giver = _giver(secret) == caller.user_id
    return caller.has(KeyScope.ADMIN) or (is_giver and caller.has(KeyScope.WRITE))


async def _secrets(context: Context, uses: Mapping[str, Any]) -> list[Secret]:
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
