"""Access control: the Host header, the API key, and the workers' key."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from localpod.api.call import ApiError


@dataclass(frozen=True)
class Access:
    """The access rules of one server.

    `key` None accepts any non-empty key. `worker_key` is the workers' key. `hosts` are names accepted in the Host
    header besides loopback names and literal addresses. `open_http` serves the HTTP API without a key.
    """

    key: str | None
    worker_key: str
    hosts: Collection[str] = ()
    open_http: bool = False

    def check_host(self, request: web.BaseRequest) -> None:
        """Refuse an unknown host name: a web page that rebinds its own name to this address sends that name."""
        name = host_name(request.headers.get("Host", ""))
        if not (_is_loopback(name) or _is_address(name) or name in self.hosts):
            raise ApiError(421, "this host name is not served here: use 127.0.0.1, or add the name with --allow-host")

    def check_client(self, request: web.BaseRequest) -> None:
        given = bearer(request)
        if not given or (self.key is not None and not _equal_in_constant_time(given, self.key)):
            raise ApiError(401, "unauthorized: send the API key as `Authorization: Bearer …`")

    def check_worker(self, request: web.BaseRequest) -> None:
        if not _equal_in_constant_time(bearer(request), self.worker_key):
            raise ApiError(401, "unauthorized: send the worker key (RUNPOD_AI_API_KEY) as `Authorization`")

    def check_http(self, request: web.BaseRequest) -> None:
        """Check the key; if none is needed, check that the call is not from a web page of another site."""
        if not self.open_http:
            self.check_client(request)
            return
        origin = request.headers.get("Origin")
        if origin is not None and not _is_loopback(host_name(origin.partition("://")[2])):
            raise ApiError(403, "web pages of other sites can't call the HTTP API without a key: start with --key")


def bearer(request: web.BaseRequest) -> str:
    """The key of a request. The SDK's workers send it without `Bearer`."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ").strip()


def host_name(host: str) -> str:
    """The name of a Host header, without port and brackets; empty when it can't be parsed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _is_address(name: str) -> bool:
    """Whether a name is a literal address, which no DNS answer can rebind."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _equal_in_constant_time(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
