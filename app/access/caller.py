"""The caller: what authentication found out about a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from app.enums import Quota
from app.errors import ForbiddenError
from app.quotas import OrgQuotaError, QuotaExceededError

_RETRY_SECONDS = 10  # until steps that run may have ended, and are counted again


class KeyScope(StrEnum):
    """What a key may do. Each includes `read`, and `admin` all of them."""

    READ = "read"
    WRITE = "write"
    APPROVE = "approve"  # resolve what sessions ask of people
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """A user of an org, by one of the user's API keys. Every query is filtered by `org_id`.

    `quotas` has what the org's Account says of them, `used_up` those that are, as they were counted
    last: `used` and `limit`.
    """

    org_id: str
    user_id: str
    email: str
    key_id: str
    scopes: frozenset[KeyScope]
    quotas: Mapping[str, Any] = field(default_factory=dict)
    used_up: Mapping[str, Any] = field(default_factory=dict)

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

    def need(self, *quotas: Quota) -> None:
        """Asks whether the org may have more of something.

        Raises:
            QuotaExceededError: its steps are too many; there is room once some have ended.
            OrgQuotaError: it has as much as it may have.
        """
        for quota in quotas:
            if (counted := self.used_up.get(quota)) is None:
                continue
            text = f"exceeded quota: {quota}, used: {counted['used']}, limit: {counted['limit']}"
            if quota is Quota.RUNNING_STEPS:
                raise QuotaExceededError(quota, text, retry_after=_RETRY_SECONDS)
            raise OrgQuotaError(quota, text)
