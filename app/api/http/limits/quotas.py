"""How much of the process one org, and one of its keys, may take.

Counted in the memory of each process of the API: a request costs no round trip.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any

from app.access.caller import Caller
from app.quotas import QuotaExceededError
from app.settings.http import RequestSettings

_AT_ONCE_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Count:
    """What an org or a key takes now.

    Attributes:
        at_once: its requests that are being answered.
        paid_until: until when its requests so far last at the rate that it may have.
        body_bytes: of the bodies of those requests.
    """

    at_once: int = 0
    paid_until: float = 0.0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a `_Count` may come to."""

    whose: str
    per_second: float
    at_once: int
    burst_seconds: float


class Quotas:
    """The counts of all orgs and keys that send requests now."""

    def __init__(self, settings: RequestSettings) -> None:
        self._settings = settings
        self._usual = self._bounds({})
        self._orgs: dict[str, _Count] = {}
        self._keys: dict[str, _Count] = {}

    def admit(self, caller: Caller) -> "Admission":
        """Counts a request of the caller's; it is at its end when the block is.

        Raises:
            QuotaExceededError: it is one too many.
        """
        org = self._orgs.get(caller.org_id) or self._orgs.setdefault(caller.org_id, _Count())
        key = self._keys.get(caller.key_id) or self._keys.setdefault(caller.key_id, _Count())
        of_org, of_key = self._bounds(caller.quotas) if caller.quotas else self._usual
        now = time.monotonic()
        _check(key, of_key, now)
        _check(org, of_org, now)
        _pay(key, of_key, now)
        _pay(org, of_org, now)
        return Admission(self, caller, org, key)

    def release(self, caller: Caller, org: _Count, key: _Count) -> None:
        """Counts a request of the caller's no more; who has nothing to pay is forgotten."""
        org.at_once -= 1
        key.at_once -= 1
        now = time.monotonic()
        if not org.at_once and org.paid_until <= now:
            del self._orgs[caller.org_id]
        if not key.at_once and key.paid_until <= now:
            del self._keys[caller.key_id]

    def check_body_bytes(self, org: _Count) -> None:
        """Refuses a body with which the org has too many bytes here.

        Raises:
            QuotaExceededError: it has.
        """
        most = self._settings.org_body_bytes
        if org.body_bytes > most:
            raise QuotaExceededError(
                "org-body-bytes",
                f"The bodies of this org's requests come to more than {most:,} bytes at once.",
                retry_after=_AT_ONCE_RETRY_SECONDS,
            )

    def _bounds(self, own: Mapping[str, Any]) -> tuple[_Bounds, _Bounds]:
        """The bounds of an org, whose Account may say less than the settings, and of its keys."""
        settings = self._settings
        per_second = min(settings.org_per_second, own.get("requests_per_second", inf))
        at_once = min(settings.org_at_once, own.get("requests_at_once", inf))
        share, burst = settings.key_share, settings.burst_seconds
        return (
            _Bounds("org", per_second, int(at_once), burst),
            _Bounds("key", per_second * share, max(1, int(at_once * share)), burst),
        )


class Admission:
    """One request that is counted."""

    def __init__(self, quotas: Quotas, caller: Caller, org: _Count, key: _Count) -> None:
        self._quotas = quotas
        self._caller = caller
        self._org = org
        self._key = key
        self._body_bytes = 0

    def __enter__(self) -> "Admission":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._org.body_bytes -= self._body_bytes
        self._quotas.release(self._caller, self._org, self._key)

    def take_bytes(self, size: int) -> None:
        """Counts bytes of its body.

        Raises:
            QuotaExceededError: they are too many, with those of other requests of the org.
        """
        self._body_bytes += size
        self._org.body_bytes += size
        self._quotas.check_body_bytes(self._org)


def _check(count: _Count, bounds: _Bounds, now: float) -> None:
    if count.at_once >= bounds.at_once:
        raise QuotaExceededError(
            f"{bounds.whose}-requests-at-once",
            f"This {bounds.whose} has {bounds.at_once:,} requests that are being answered, the "
            "most that it may have at once.",
            retry_after=_AT_ONCE_RETRY_SECONDS,
        )
    if count.paid_until - now > bounds.burst_seconds:
        raise QuotaExceededError(
            f"{bounds.whose}-requests-per-second",
            f"This {bounds.whose} sends more than {bounds.per_second:g} requests per second.",
            retry_after=count.paid_until - now - bounds.burst_seconds,
        )


def _pay(count: _Count, bounds: _Bounds, now: float) -> None:
    count.at_once += 1
    count.paid_until = max(count.paid_until, now) + 1 / bounds.per_second
