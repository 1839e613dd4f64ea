"""Which hosts the secrets of a connection go to, and which ones they may go to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.invokers.chat_models.config import OWN_URLS
from app.invokers.web.hosts import host_of, is_host
from app.kit.invalid import InvalidValueError

Uses = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class HostRule:
    """Where one Secret may be sent.

    Attributes:
        declared: what its manifest says; None where it says nothing.
        learned: the hosts of connections that were given it, each with the user who did; None for
            an admin.
        giver: the user who gave the value.
    """

    declared: list[str] | None
    learned: Mapping[str, str | None]
    giver: str

    @property
    def hosts(self) -> list[str]:
        """Those that count: a host that only a former giver of the value vouched for does not."""
        if self.declared is not None:
            return self.declared
        return sorted(host for host, user in self.learned.items() if user in (None, self.giver))

    def outside(self, hosts: Iterable[str]) -> list[str]:
        """The hosts that it may not be sent to."""
        mine = self.hosts
        return sorted(host for host in hosts if not any(is_host(host, one) for one in mine))


def secret_uses(kind: str, spec: Mapping[str, Any]) -> Uses:
    """The Secrets that the spec of a connection names, each with the hosts that it goes to.

    Raises:
        ValueError: a URL leads nowhere.
    """
    match kind:
        case "Provider":
            return _provider_uses(spec)
        case "ApiConnection":
            return _api_uses(spec["connection"])
        case "McpServer":
            named = [spec["auth"]] if "auth" in spec else []
            return _to(spec["url"], [*named, *_of_headers(spec["headers"])])
        case _:
            return {}


def _provider_uses(spec: Mapping[str, Any]) -> Uses:
    if "apiKey" not in spec:
        return {}
    url = spec.get("baseUrl") or OWN_URLS.get(spec["type"])
    if url is None:
        raise InvalidValueError(f"a Provider of type {spec['type']} with an apiKey needs a baseUrl")
    return _to(url, [spec["apiKey"]])


def _api_uses(connection: Mapping[str, Any]) -> Uses:
    names = [
        connection[field] for field in ("apiKey", "username", "password") if field in connection
    ]
    uses = _to(connection["baseUrl"], [*names, *_of_headers(connection.get("headers", {}))])
    if "tokenUrl" not in connection:
        return uses
    # The API gets tokens for them, which are as good.
    token_host = host_of(connection["tokenUrl"])
    return {name: hosts | {token_host} if name in names else hosts for name, hosts in uses.items()}


def _of_headers(headers: Mapping[str, Any]) -> list[str]:
    return [value["secret"] for value in headers.values() if isinstance(value, dict)]


def _to(url: str, names: Iterable[str]) -> dict[str, frozenset[str]]:
    named = list(names)
    return dict.fromkeys(named, frozenset({host_of(url)})) if named else {}
