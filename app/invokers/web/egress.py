"""Where the service may connect to: global addresses, and what the operator allows beside them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import anyio
import httpcore2
from typing_extensions import override

from app.invokers.invoker import InvokerError
from app.invokers.web.answer_heads import HeadBoundedStream
from app.invokers.web.resolver import RESOLVER

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")  # what is given out of IPv6; all else is special
# Written out, as `is_global` misses some and differs between releases of Python.
_NOT_PUBLIC: Sequence[Network] = [
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # of carriers; 100.100.100.200 is a cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host below a virtual machine, in Azure
        "169.254.0.0/16",  # this link; clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # of protocols; 192.0.0.192 is a cloud's metadata
        "192.0.2.0/24",  # for documents
        "192.31.196.0/24",  # of name servers for private addresses
        "192.52.193.0/24",  # relays of multicast
        "192.88.99.0/24",  # relays to IPv6
        "192.168.0.0/16",
        "192.175.48.0/24",  # of name servers for private addresses
        "198.18.0.0/15",  # for measurements
        "198.51.100.0/24",  # for documents
        "203.0.113.0/24",  # for documents
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # of protocols: Teredo and more
        "2001:db8::/32",  # for documents
        "2002::/16",  # IPv4 by relays that nobody vouches for
        "2620:4f:8000::/48",  # of name servers for private addresses
        "3fff::/20",  # for documents
    )
]
_CONNECT_SECONDS = 10.0


class EgressRefusedError(InvokerError):
    """The host has an address that the service may not connect to."""


def parse_networks(cidrs: Iterable[str]) -> list[Network]:
    """Networks of CIDRs such as `10.1.0.0/16` or `::1/128`.

    Raises:
        ValueError: one of them is not a network; the text names it.
    """
    return [ip_network(cidr.strip(), strict=False) for cidr in cidrs]


def is_allowed(address: Address, allow: Sequence[Network]) -> bool:
    """Whether the service may connect to `address`: it is listed, or anybody's to reach."""
    address = _embedded(address)
    return _is_in(address, allow) or _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it does; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a host, requires every address to be allowed, and connects to a checked address.

    The name is looked up once, so that it cannot change between the check and the connection.

    Args:
        allow: networks that may be reached beside global addresses.
        resolve: gives the addresses of a host; may raise OSError.
    """

    def __init__(self, allow: Sequence[Network], resolve: Resolve = RESOLVER) -> None:
        self._allow = allow
        self._resolve = resolve
        self._inner = httpcore2.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout or _CONNECT_SECONDS):
                addresses = await self._checked_addresses(host, port)
                stream = await self._connect_first(addresses, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} did not answer in time") from error
        return HeadBoundedStream(stream)

    @override
    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressRefusedError("sockets of this machine are out of bounds")

    @override
    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def _checked_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved") from error
        if not addresses:
            raise httpcore2.ConnectError(f"{host} has no address")
        if not all(is_allowed(ip_address(address), self._allow) for address in addresses):
            raise EgressRefusedError(f"{host} is not an address that this service may reach")
        return addresses

    async def _connect_first(
        self,
        addresses: list[str],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connects to the first address that answers; each but the last has a share of the time."""
        share = _CONNECT_SECONDS / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(
            addresses[-1], port, None, local_address, socket_options
        )
