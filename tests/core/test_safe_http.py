"""Addresses to which a caller's URL may connect."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from core.errors import BadUrl
from core.safe_http import Address, CheckedBackend, is_any, is_global, resolve

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:82f::200e", "::ffff:8.8.8.8"]
PRIVATE = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "this host",
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "shared, of carriers and clouds",
    "169.254.169.254": "cloud metadata",
    "169.254.170.2": "container credentials",
    "192.0.0.1": "IETF",
    "192.0.0.9": "IETF, global by the registry",
    "192.0.0.192": "cloud metadata",
    "168.63.129.16": "cloud platform service",
    "192.31.196.7": "AS112",
    "192.52.193.7": "AMT",
    "192.88.99.1": "6to4 relay",
    "192.175.48.7": "AS112",
    "100.100.100.200": "cloud metadata",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarks",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:10.0.0.1": "mapped private",
    "::ffff:169.254.169.254": "mapped metadata",
    "64:ff9b::169.254.169.254": "NAT64 of metadata",
    "64:ff9b::8.8.8.8": "NAT64",
    "64:ff9b:1::1": "local NAT64",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:0:5ef5:79fb::f5ff:fffe": "Teredo of a private address",
    "2001:1::1": "port control anycast",
    "2001:3::1": "AMT",
    "2001:4:112::1": "AS112",
    "2001:20::1": "ORCHIDv2",
    "2620:4f:8000::1": "AS112",
    "2a00:1450::5efe:a00:1": "ISATAP of a private address",
    "2a00:1450::200:5efe:808:808": "ISATAP",
    "::ffff:168.63.129.16": "mapped platform service",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4 of loopback",
    "2002:808:808::": "6to4",
    "2002:a9fe:a9fe::": "6to4 of metadata",
    "3fff::1": "documentation",
    "5f00::1": "segment routing",
    "fc00::1": "unique local",
    "fd00:ec2::254": "cloud metadata",
    "fe80::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text: str) -> None:
    assert is_global(ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not is_global(ip_address(text)), PRIVATE[text]


async def test_every_notation_of_an_address_is_parsed_as_by_the_system() -> None:
    for spelling in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"):
        found = await resolve(spelling, 443)
        assert found, spelling
        assert not any(is_global(address) for address in found), spelling


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "", "\u2603" * 70, "."])
async def test_name_that_does_not_resolve_has_no_public_address(host: str) -> None:
    found = await resolve(host, 443)
    # Some resolvers take an empty name for this host; it must not count as a public one.
    assert not any(is_global(address) for address in found)


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"], ["::1"], []]
)
async def test_one_private_address_among_public_ones_is_refused(addresses: list[str]) -> None:
    async def resolve_to(host: str, port: int) -> list[Address]:
        return [ip_address(text) for text in addresses]

    with pytest.raises(BadUrl):
        await CheckedBackend(resolve=resolve_to).connect_tcp("pictures.example", 443, timeout=1)


@pytest.mark.parametrize("port", [22, 25, 80, 6379, 8443])
async def test_a_port_other_than_443_is_refused_before_the_name_is_resolved(port: int) -> None:
    async def resolve_never(host: str, port: int) -> list[Address]:
        raise AssertionError("resolved")

    with pytest.raises(BadUrl, match="port 443"):
        await CheckedBackend(resolve=resolve_never).connect_tcp("pictures.example", port, timeout=1)


async def test_explicitly_allowed_port_is_accepted() -> None:
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        backend = CheckedBackend(allowed=is_any, ports=frozenset({443, port}))
        stream = await backend.connect_tcp("127.0.0.1", port, timeout=5)
        assert await stream.read(100, timeout=5) == b"hello"
        await stream.aclose()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


async def test_name_is_resolved_once_and_the_checked_address_is_used() -> None:
    # Only 127.0.0.3 listens, so a second resolution of the name, or a connection by name, would fail.
    answers = [[ip_address("127.0.0.3")], [ip_address("127.0.0.2")]]
    judged: list[Address] = []

    async def rebinding(host: str, port: int) -> list[Address]:
        return answers.pop(0)

    def allowed(address: Address) -> bool:
        judged.append(address)
        return True

    async with await asyncio.start_server(greet, "127.0.0.3", 0) as server:
        port = server.sockets[0].getsockname()[1]
        stream = await CheckedBackend(allowed=allowed, resolve=rebinding, ports=None).connect_tcp(
            "localhost", port, timeout=5
        )
        assert await stream.read(100, timeout=5) == b"hello"
        await stream.aclose()
    assert judged == [ip_address("127.0.0.3")]


async def test_next_address_is_tried_if_one_does_not_answer(unused_tcp_port: int) -> None:
    async def both(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async with await asyncio.start_server(greet, "127.0.0.1", unused_tcp_port):
        backend = CheckedBackend(allowed=is_any, resolve=both, ports=None)
        stream = await backend.connect_tcp("two.example", unused_tcp_port, timeout=5)
        assert await stream.read(100, timeout=5) == b"hello"
        await stream.aclose()
