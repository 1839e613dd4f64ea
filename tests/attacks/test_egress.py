"""What the service reaches and takes on behalf of tenants."""

import asyncio
import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import httpx2
import pytest

from app.invokers.web.answer_heads import AnswerTooLargeError
from app.invokers.web.egress import EgressRefusedError, Resolve, is_allowed, parse_networks
from app.invokers.web.http_client import guarded_client
from app.invokers.web.resolver import RESOLVER
from tests.support.raw_server import raw_server, sends

_NOT_PUBLIC = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12
    192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16
    192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 200::/7 400::/6
    1000::/4 2001::/32 2001:1::1/128 2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28
    2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 4000::/3 5f00::/16
    6000::/3 8000::/3 a000::/3 c000::/3 e000::/4 f000::/5 f800::/6 fc00::/7 fd00:ec2::254/128
    fe00::/9 fe80::/10 fec0::/10 ff00::/8
"""
_PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    168.63.129.15 168.63.129.17 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 223.255.255.255 2001:200::1 2001:4860:4860::8888 2003::1
    2606:4700::1111 2a00:1450::1 3ffe:ffff::1
"""


@pytest.mark.parametrize("network", _NOT_PUBLIC.split())
def test_no_address_of_a_special_network_is_reached(network: str) -> None:
    """Nor in any form of it that leads there by IPv6."""
    parsed = ip_network(network)
    for address in (parsed[0], parsed[-1], parsed[parsed.num_addresses // 2]):
        assert not is_allowed(address, [])
        assert is_allowed(address, [parsed])
        if isinstance(parsed, IPv4Network):
            assert not any(is_allowed(ip_address(form), []) for form in by_ipv6(int(address)))


def by_ipv6(address: int) -> list[int]:
    prefixes = ["::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"]
    behind = [int(IPv6Network(f"{prefix}/96")[0]) + address for prefix in prefixes]
    return [*behind, int(ip_address("2002::1")) + (address << 80)]


@pytest.mark.parametrize("address", _PUBLIC.split())
def test_what_anybody_may_reach_is_reached(address: str) -> None:
    assert is_allowed(ip_address(address), [])


def test_an_ipv4_address_is_judged_alike_in_the_forms_that_lead_to_it() -> None:
    for allowed in ("8.8.8.8", "10.1.2.3"):
        for form in (f"::ffff:{allowed}", f"64:ff9b::{allowed}"):
            assert is_allowed(ip_address(form), parse_networks(["10.1.0.0/16"]))


# Ways to write this machine, or another one that is not public, as the host of a URL.
_HOSTS = """
    127.0.0.1 127.0.0.1. 127.1 127.0.1 0177.0.0.1 017700000001 0x7f.0.0.1 0x7f000001 2130706433
    0 0.0.0.0 0x0 LOCALHOST localhost. [::] [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1]
    [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b:1::127.0.0.1] [2002:7f00:1::]
    [2001:0:7f00:1::] [fe80::1] [fec0::1] [fd00:ec2::254] 169.254.169.254 0xa9fea9fe 2852039166
    168.63.129.16 192.0.0.192 100.100.100.200 255.255.255.255 4294967295
"""


async def _everywhere(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1", "8.8.8.8"]


@pytest.mark.parametrize("resolve", [RESOLVER, _everywhere], ids=["its own", "one that mixes"])
async def test_no_way_to_write_a_host_leads_to_this_machine(resolve: Resolve) -> None:
    """Whatever a resolver makes of what is written: each address it gives is judged."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(sends(said)) as (port, _), guarded_client([], resolve=resolve) as client:
        for host in _HOSTS.split():
            with pytest.raises((EgressRefusedError, httpx2.ConnectError, httpx2.InvalidURL)):
                await client.get(f"http://{host}:{port}/")


async def test_a_name_is_looked_up_once_and_a_redirect_is_not_followed() -> None:
    """A second answer of the resolver, and another address of the server, lead nowhere."""
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    async with (
        raw_server(sends(away)) as (port, _),
        guarded_client(["127.0.0.2/32"], resolve=rebinding) as client,
    ):
        with pytest.raises(httpx2.ConnectError):  # the server is at the second address
            await client.get(f"http://name.example:{port}/")
    assert asked == ["name.example"]
    async with raw_server(sends(away)) as (port, _), guarded_client(["127.0.0.1/32"]) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
async def test_answers_that_only_announce_an_answer_are_bounded(status: bytes) -> None:
    async def announce(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write((b"HTTP/1.1 " + status + b"\r\nLink: </x>\r\n\r\n") * 100)
            await writer.drain()

    began = time.thread_time()
    async with raw_server(announce) as (port, _), guarded_client(["127.0.0.0/8"]) as client:
        with pytest.raises(AnswerTooLargeError):
            await client.get(f"http://127.0.0.1:{port}/")
    assert time.thread_time() - began < 5


async def test_an_answer_that_was_announced_is_taken_and_each_has_its_own_bound() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 20
    body = b"x" * 600_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n"
    async with (
        raw_server(sends(early + head + body)) as (port, _),
        guarded_client(["127.0.0.0/8"]) as client,
    ):
        for _again in range(2):
            assert (await client.get(f"http://127.0.0.1:{port}/")).content == body
