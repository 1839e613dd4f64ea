"""The caller: what authentication found out about a request."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from app.errors import ForbiddenError


class KeyScope(StrEnum):
    """What a key may do. Each includes `read`, and `admin` all of them."""

    READ = "read"
    WRITE = "write"
    APPROVE = "approve"  # resolve what sessions ask of people
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A user of an org, by one of the user's API keys. Every query is filtered by `org_id`."""

    org_id: str
    user_id: str
    email: str
    key_id: str
    scopes: frozenset[KeyScope]

    @classmethod
    def owner(cls, org_id: str, user_id: str) -> Self:
        """A user for whom the service itself acts, with no more rights than to use what is theirs.

        By no key: what is started so was asked for by one that might.
        """
        return cls(org_id, user_id, "", "", frozenset({KeyScope.WRITE}))

    def has(self, scope: KeyScope) -> bool:
        """Whether the key has the scope, or one that includes it."""
        if scope is KeyScope.READ:
            return bool(self.scopes)
        return not self.scopes.isdisjoint({scope, KeyScope.ADMIN})

    def require(self, scope: KeyScope) -> None:
        """Raises `ForbiddenError` unless the key has the scope or one that includes it."""
        if not self.has(scope):
            raise ForbiddenError(f"This needs an API key with scope {scope.value!r}.")
