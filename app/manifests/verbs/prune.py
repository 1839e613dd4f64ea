"""Deletes what a set of manifests does not declare, in the transaction that applies the set."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.errors import BadRequestError, ConflictError, NotFoundError
from app.manifests.context import Context
from app.manifests.model.selector import Requirement, parse_selector
from app.manifests.registry import AnyBroker, BrokerRegistry

Named = tuple[str, str]  # kind and name


@dataclass(frozen=True, slots=True)
class Prune:
    """What may be deleted: of these kinds, and with labels that the selector chooses."""

    kinds: Sequence[str]
    selector: str | None = None

    def brokers(self, registry: BrokerRegistry) -> list[AnyBroker]:
        """The brokers of the kinds, users before what they use.

        Raises:
            BadRequestError: one is no kind, or of one whose resources no manifest declares.
        """
        found: dict[str, AnyBroker] = {}
        for kind in self.kinds:
            try:
                broker = registry.find(kind)
            except NotFoundError as error:
                raise _refusal(error.detail) from None
            if broker.refused_verbs:
                raise _refusal(f"resources of kind {broker.kind} are not declared by manifests")
            found[broker.kind] = broker
        return sorted(found.values(), key=registry.rank, reverse=True)

    def requirements(self) -> list[Requirement]:
        """What the labels of a resource must be like."""
        return parse_selector(self.selector) if self.selector else []


async def prune(context: Context, what: Prune, declared: Collection[Named]) -> list[Named]:
    """Deletes what may be deleted and is not declared. Callers keep their own user and key.

    Returns:
        What was deleted, in that order.

    Raises:
        ConflictError: something else names one of them.
        ForbiddenError: the caller may not delete resources of a kind.
    """
    deleted: list[Named] = []
    requirements = what.requirements()
    for broker in what.brokers(context.brokers):
        context.caller.require(broker.write_scope)
        for row in await broker.rows(context, None):
            metadata = broker.metadata_of(row)
            named = (broker.kind, metadata["name"])
            chosen = all(one.is_met(metadata.get("labels", {})) for one in requirements)
            if chosen and named not in declared and not broker.is_callers_own(context, row):
                await _delete(context, broker, named)
                deleted.append(named)
    return deleted


async def _delete(context: Context, broker: AnyBroker, resources: Named) -> None:
    try:
        with suppress(NotFoundError):  # another request was faster
            await broker.delete(context, resources[1])
    except ConflictError as error:
        error.detail = f"It cannot be pruned: {error.detail}"
        raise


def _refusal(msg: str) -> BadRequestError:
    return BadRequestError(f"prune: {msg}", errors=[{"loc": ["query", "prune"], "msg": msg}])
