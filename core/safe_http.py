"""Connections to addresses that somebody else chose: a selfie's URL, a job's own bucket.

A name is resolved here, every address it has is judged, and the connection goes to one of the very addresses that were
judged, so that a second answer of the name server changes nothing. TLS still asks for the name's own certificate.
No proxy, no cookie, no redirect and no setting of the environment has a part in it.

May import: core.errors, httpcore.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore

from core.errors import BadUrl

Address = IPv4Address | IPv6Address
Allowed = Callable[[Address], bool]
Resolve = Callable[[str, int], Awaitable[list[Address]]]

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only IPv6 block from which public addresses are given out (RFC 4291 §2.4, IANA's registry)."""
_NOT_PUBLIC = (IPv6Network("2002::/16"), IPv6Network("3fff::/20"))
"""6to4, which carries any IPv4 address and is no longer used, and documentation (RFC 9637): Pythons differ on both."""


def is_global(address: Address) -> bool:
    """Whether `address` is a public host's: not loopback, private, link-local, shared, reserved or multicast.

    An IPv4 address mapped into IPv6 is judged as the IPv4 one; NAT64, 6to4 and Teredo, which could carry any, are
    refused with the rest of the blocks from which no public host has its address.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_global(address.ipv4_mapped)
        outside = address not in _GLOBAL_UNICAST or any(address in block for block in _NOT_PUBLIC)
        return address.is_global and not outside
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_private)


_resolvers = ThreadPoolExecutor(8, thread_name_prefix="resolve")
"""A name server that never answers holds a thread for half a minute: here it can't hold those of everything else."""


@functools.cache
def public_authorities() -> ssl.SSLContext:
    """TLS that trusts certifi's list of authorities: a slim image has none of its own. Reading it takes 20 ms."""
    return httpcore.default_ssl_context()


def is_any(address: Address) -> bool:
    """For addresses that the deployer chose: all are allowed."""
    del address
    return True


async def resolve(host: str, port: int) -> list[Address]:
    """Every address of `host`, as the system's resolver reads it (which takes `127.1`, `0177.0.0.1`, `2130706433`)."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(_resolvers, ask)
    except (OSError, UnicodeError):
        return []
    # A scope ("fe80::1%eth0") is dropped: it marks a link-local address, which is judged the same without it.
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class JudgedBackend(httpcore.AsyncNetworkBackend):
    """Connects to a name only where all of its addresses are allowed, and then to one of those. Raises `BadUrl`."""

    def __init__(self, *, allowed: Allowed = is_global, resolve: Resolve = resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host.strip("[]"), port)
        if not addresses:
            raise BadUrl("The URL's host has no address. Check its spelling.")
        # One private address among public ones is how a name is made to look harmless: all must pass.
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
