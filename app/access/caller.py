"""The caller: what authentication found out about a request."""

from dataclasses import dataclass
from enum import StrEnum

from app.errors import ForbiddenError


class KeyScope(StrEnum):
    """What a key may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A user of an org, by one of the user's API keys. Every query is filtered by `org_id`."""

    org_id: str
    user_id: str
    email: str
    key_id: str
    scopes: frozenset[KeyScope]

    def require(self, scope: KeyScope) -> None:
        """Raises `ForbiddenError` unless the key has the scope or one that includes it."""
        order = list(KeyScope)
        if not any(order.index(held) >= order.index(scope) for held in self.scopes):
            raise ForbiddenError(f"This needs an API key with scope {scope.value!r}.")
