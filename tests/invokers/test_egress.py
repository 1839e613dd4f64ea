"""The egress guard: which addresses may be reached, and that the checked one is connected to."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import httpx2
import pytest

from app.invokers.web.answer_heads import AnswerTooLargeError
from app.invokers.web.egress import EgressRefusedError, is_allowed, parse_networks
from app.invokers.web.http_client import (
    EncodedAnswerError,
    guarded_client,
    operator_client,
)
from tests.support.raw_server import raw_server, sends

LOOPBACK = ["127.0.0.0/8", "::1/128"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def resolves_to(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - to be refused
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "ff0e::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:7f00:1::",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    assert not is_allowed(ip_address(address), [])


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_global_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), [])


def test_listed_networks_are_allowed_and_only_those() -> None:
    allow = parse_networks(["10.1.0.0/16", "fd00::/8"])
    assert is_allowed(ip_address("10.1.2.3"), allow)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), allow)
    assert is_allowed(ip_address("fd00::1"), allow)
    assert not is_allowed(ip_address("10.2.0.1"), allow)


def test_a_bad_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        guarded_client(["10.0.0.0/99"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with raw_server(sends(OK)) as (port, requests), guarded_client([]) as client:
        with pytest.raises(EgressRefusedError):
            await client.get(f"http://{host}:{port}/")
        assert requests == []


async def test_loopback_is_reached_when_listed() -> None:
    async with raw_server(sends(OK)) as (port, _), guarded_client(LOOPBACK) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "ok"


async def test_the_operator_reaches_this_machine() -> None:
    async with raw_server(sends(OK)) as (port, _), operator_client() as client:
        assert (await client.get(f"http://localhost:{port}/")).text == "ok"


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::1", "1.1.1.1"]])
async def test_a_name_with_any_private_address_is_refused(addresses: list[str]) -> None:
    async with guarded_client([], resolve=resolves_to(*addresses)) as client:
        with pytest.raises(EgressRefusedError, match=r"model\.example"):
            await client.get("http://model.example/")


async def test_the_checked_address_is_connected_to_under_the_name() -> None:
    """The name resolves nowhere: only the address that was checked can have answered."""
    async with (
        raw_server(sends(OK)) as (port, requests),
        guarded_client(LOOPBACK, resolve=resolves_to("127.0.0.1")) as client,
    ):
        assert (await client.get(f"http://model.invalid:{port}/")).text == "ok"
        assert f"host: model.invalid:{port}".encode() in requests[0].lower()


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with (
        raw_server(sends(OK)) as (port, _),
        guarded_client(LOOPBACK, resolve=resolves_to("127.0.0.2", "127.0.0.1")) as client,
    ):
        assert (await client.get(f"http://model.invalid:{port}/")).text == "ok"


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1"]])
async def test_nobody_there_is_a_connection_error(addresses: list[str]) -> None:
    async with guarded_client(LOOPBACK, resolve=resolves_to(*addresses)) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://model.invalid:1/")


async def test_a_name_that_does_not_resolve_is_a_connection_error() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    async with guarded_client([], resolve=resolve) as client:
        with pytest.raises(httpx2.ConnectError, match=r"model\.invalid cannot be resolved"):
            await client.get("http://model.invalid/")


async def test_redirects_and_proxies_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(sends(moved)) as (port, _), guarded_client(LOOPBACK) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 302


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "unix:///x"])
async def test_only_http_and_https(url: str) -> None:
    async with guarded_client(LOOPBACK) as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get(url)


async def test_size_is_bounded_whatever_the_server_says() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    async with (
        raw_server(sends(head, *[b"x" * 1000] * 50)) as (port, _),
        guarded_client(LOOPBACK, max_bytes=10_000) as client,
    ):
        with pytest.raises(AnswerTooLargeError, match="10,000"):
            await client.get(f"http://127.0.0.1:{port}/")


async def test_a_compressed_answer_is_refused() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    async with (
        raw_server(sends(head.encode(), bomb)) as (port, requests),
        guarded_client(LOOPBACK) as client,
    ):
        with pytest.raises(EncodedAnswerError):
            await client.get(f"http://127.0.0.1:{port}/")
        assert b"accept-encoding: identity" in requests[0].lower()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_time_is_bounded_also_when_bytes_keep_coming(head: bytes) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x" if head else b"H")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with (
        raw_server(drip) as (port, _),
        guarded_client(LOOPBACK, max_seconds=0.3) as client,
    ):
        started = asyncio.get_running_loop().time()
        with pytest.raises((httpx2.ReadTimeout, httpx2.RemoteProtocolError)):
            await client.get(f"http://127.0.0.1:{port}/")
        assert asyncio.get_running_loop().time() - started < 2
