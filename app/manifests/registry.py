"""The brokers by kind, found whatever the spelling of the kind."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import app.manifests.brokers
from app.errors import NotFoundError, VerbNotImplementedError
from app.kit.registry import DuplicateNameError, Registry, discover
from app.manifests.broker import Broker
from app.manifests.context import Context
from app.manifests.model.reference import Reference

AnyBroker = Broker[Any, Any]

# Kinds that are known by name and have no broker yet: every verb on them is "not implemented".
PLANNED = ("Plugin", "SqlConnection")


class BrokerRegistry:
    """Finds brokers by kind in any case, singular or plural.

    Args:
        brokers: one for each kind.

    Raises:
        DuplicateNameError: two kinds have a spelling in common.
    """

    def __init__(self, brokers: Registry[AnyBroker]) -> None:
        self._brokers = brokers
        self._kinds: dict[str, str] = {}
        names = [(kind, name) for kind in brokers for name in (kind, *brokers[kind].other_names)]
        for kind, name in (*names, *((kind, kind) for kind in PLANNED)):
            for spelling in (name.lower(), f"{name.lower()}s"):
                if self._kinds.setdefault(spelling, kind) != kind:
                    raise DuplicateNameError(f"two kinds are spelled {spelling!r}")

    def __iter__(self) -> Iterator[AnyBroker]:
        return iter(self._brokers.values())

    def kind(self, text: str) -> str:
        """The kind as it is spelled.

        Raises:
            NotFoundError: there is no such kind; the text lists those that there are.
        """
        found = self._kinds.get(text.lower().replace("-", "").replace("_", ""))
        if found is None:
            known = ", ".join(sorted(self._brokers))
            raise NotFoundError(f"There is no kind {text[:100]!r}; there are {known}.")
        return found

    def find(self, text: str) -> AnyBroker:
        """The broker of a kind.

        Raises:
            NotFoundError: there is no such kind.
            VerbNotImplementedError: the kind has no broker yet.
        """
        kind = self.kind(text)
        if kind not in self._brokers:
            raise VerbNotImplementedError(f"Kind {kind} is not implemented yet.")
        return self._brokers[kind]

    def rank(self, broker: AnyBroker, above: frozenset[str] = frozenset()) -> int:
        """Kinds that name others have a higher rank than those, but for kinds that name each other.

        Args:
            broker: of the kind.
            above: the kinds that led here: they are named in turn, and not counted.
        """
        above |= {broker.kind}
        named = [self._brokers[kind] for kind in broker.refers_to - above]
        return 1 + max((self.rank(one, above) for one in named), default=0)

    async def names(self, context: Context, kind: str) -> set[str]:
        """The names of all resources of a kind in the org."""
        broker = self.find(kind)
        return {broker.metadata_of(row)["name"] for row in await broker.rows(context, None)}

    async def exists(self, context: Context, reference: Reference) -> bool:
        """Whether what a reference names is there; it is kept there until the transaction ends."""
        for kind, name in reference.candidates:
            if await self.find(kind).lock_existing(context, name):
                return True
        return False

    async def referrers(self, context: Context, kind: str, names: set[str]) -> list[str]:
        """The resources of the org that name one, as `Kind name`."""
        found: list[str] = []
        for broker in self:
            if kind not in broker.refers_to:
                continue
            for row in await broker.rows(context, None):
                references = broker.references(await broker.spec_of(context, row))
                named = (one for reference in references for one in reference.candidates)
                if any(of == kind and name in names for of, name in named):
                    found.append(f"{broker.kind} {broker.metadata_of(row)['name']}")
        return found


@lru_cache
def all_brokers() -> BrokerRegistry:
    """The brokers of `app/manifests/brokers`, one file for each kind."""
    contract: type[AnyBroker] = Broker  # type: ignore[type-abstract] # only subclasses are made
    classes = discover(app.manifests.brokers, contract, what="kind", name=lambda found: found.kind)
    brokers: Registry[AnyBroker] = Registry("kind")
    for kind, broker in classes.items():
        brokers.add(kind, broker())
    return BrokerRegistry(brokers)
