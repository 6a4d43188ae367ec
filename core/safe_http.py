"""Connections to addresses that a caller chose: a selfie's URL, a job's own bucket.

A host name is resolved once, all its addresses are checked, and the connection uses one of the checked addresses, so
that a later DNS change has no effect. TLS still verifies the certificate for the host name. No proxy, cookie, redirect
or environment variable is used.

May import: core.errors, httpcore.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpcore

from core.errors import BadUrl

Address = IPv4Address | IPv6Address
Allowed = Callable[[Address], bool]
Resolve = Callable[[str, int], Awaitable[list[Address]]]

HTTPS_PORTS = frozenset({443})
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 block with public addresses (RFC 4291 §2.4, IANA's registry)."""
_SPECIAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        "168.63.129.16/32",  # Azure's platform service, which answers on every virtual machine there
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's cloud has its metadata there
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays, no longer used
        "192.175.48.0/24",  # AS112
    )
)
_SPECIAL_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, AMT, AS112
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which can encode any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
"""Blocks of IANA's special-purpose registries (RFC 6890) that some Python releases report as global."""
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The upper half of an interface identifier whose lower half is an IPv4 address (RFC 5214 §6.1)."""


def is_global(address: Address) -> bool:
    """Whether `address` is public: not loopback, private, link-local, shared, reserved or multicast.

    An IPv4 address mapped into IPv6 is checked as the IPv4 one. NAT64, 6to4, Teredo and ISATAP, which carry any IPv4
    address, are refused, as is every other special-purpose block.
    """
    if isinstance(address, IPv4Address):
        usual = address.is_global and not (address.is_multicast or address.is_reserved or address.is_private)
        return usual and not any(address in block for block in _SPECIAL_V4)
    if address.ipv4_mapped is not None:
        return is_global(address.ipv4_mapped)
    if address not in _GLOBAL_UNICAST or any(address in block for block in _SPECIAL_V6):
        return False
    return address.is_global and (int(address) >> 32 & 0xFFFF_FFFF) not in _ISATAP


_resolvers = ThreadPoolExecutor(8, thread_name_prefix="resolve")
"""Separate threads for name resolution: a name server that never answers blocks one for half a minute."""


@functools.cache
def public_authorities() -> ssl.SSLContext:
    """A TLS context with certifi's list of authorities, because a slim image has no list. Reading it takes 20 ms."""
    return httpcore.default_ssl_context()


def is_any(address: Address) -> bool:
    """Allow every address; for hosts that the deployer configured."""
    del address
    return True


async def resolve(host: str, port: int) -> list[Address]:
    """All addresses of `host` by the system's resolver, which also parses `127.1`, `0177.0.0.1`, `2130706433`."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_resolvers, ask)
    except (OSError, OverflowError, UnicodeError, ValueError):
        return []
    # A scope ("fe80::1%eth0") is dropped: it marks a link-local address, which is refused with or without it.
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def check_port(port: int, ports: frozenset[int] | None) -> None:
    """Raise `BadUrl` for a port that is not among `ports`."""
    if ports is not None and port not in ports:
        named = ", ".join(str(one) for one in sorted(ports))
        raise BadUrl(f"The URL's port is not allowed. Give a URL with port {named}, or with none.")


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Network backend that connects to a name only if all its addresses are allowed, and to one of these addresses.

    `ports` None allows every port. Raises `BadUrl`.
    """

    def __init__(
        self,
        *,
        allowed: Allowed = is_global,
        resolve: Resolve = resolve,
        ports: frozenset[int] | None = HTTPS_PORTS,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._ports = ports
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        check_port(port, self._ports)
        addresses = await self._resolve(host.strip("[]"), port)
        if not addresses:
            raise BadUrl("The URL's host has no address. Check its spelling.")
        # All must be allowed: a private address among public ones is a known way around such a check.
        if not all(self._allowed(address) for address in addresses):
            raise BadUrl("The URL's host is not on the public internet. Give a public https URL.")
        for address in addresses[:-1]:
            try:
                return await self._connect(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        return await self._connect(addresses[-1], port, timeout, local_address, socket_options)

    async def _connect(
        self,
        address: Address,
        port: int,
        timeout: float | None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._network.connect_tcp(
            str(address), port, timeout=timeout, local_address=local_address, socket_options=socket_options
        )
