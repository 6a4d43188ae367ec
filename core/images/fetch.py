"""Fetch a picture from an https URL that a caller sent.

https only, without credentials; each host's addresses are checked and pinned (`core.safe_http`), also after a redirect;
ports, bytes, redirects and time are bounded.
"""

from __future__ import annotations

import asyncio
import ssl

import httpcore
import httpx

from core.errors import BadUrl
from core.images.limits import IntakeLimits, too_many_bytes
from core.safe_http import HTTPS_PORTS, Allowed, CheckedBackend, Resolve, is_global, public_authorities, resolve

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = [("User-Agent", "img-pod"), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
_MAX_URL_CHARS = 8_192
_MAX_PORT = 65_535


def read_url(text: str) -> httpx.URL:
    """`text` as an https URL with a host and no credentials. Raises `BadUrl`, which never repeats it."""
    if len(text) > _MAX_URL_CHARS:
        raise BadUrl(f"The URL is longer than {_MAX_URL_CHARS:,} characters.")
    try:
        url = httpx.URL(text)
        # `host` decodes Punycode, so an invalid name such as `xn--a` raises here and not before.
        host, port = url.host, url.port
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise _invalid_url() from None
    if url.scheme != "https" or not host:
        raise BadUrl("The URL must begin with https:// and name a host.")
    if url.userinfo:
        raise BadUrl("The URL must not contain a user name or password.")
    if port is not None and not 0 < port <= _MAX_PORT:
        raise _invalid_url()
    return url


def _invalid_url() -> BadUrl:
    return BadUrl("The URL can't be read. Give one that a browser would open.")


class HttpsFetch:
    """Gets a URL's bytes. `ports` are those that a URL may name; None allows all."""

    def __init__(
        self,
        *,
        allowed: Allowed = is_global,
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
        ports: frozenset[int] | None = HTTPS_PORTS,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._ssl = ssl_context
        self._ports = ports

    async def __call__(self, url: str, limits: IntakeLimits) -> bytes:
        """Fetch the bytes of a URL. Raises `BadUrl` and `TooLarge`."""
        try:
            async with asyncio.timeout(limits.url_timeout_s):
                return await self._follow(read_url(url), limits)
        except TimeoutError:
            raise BadUrl(f"The URL took longer than {limits.url_timeout_s:g} s. Send the picture as base64.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise BadUrl("The URL's host can't be reached over https, or its certificate is not valid.") from None

    async def _follow(self, url: httpx.URL, limits: IntakeLimits) -> bytes:
        backend = CheckedBackend(allowed=self._allowed, resolve=self._resolve, ports=self._ports)
        context = self._ssl or public_authorities()
        # A new connection per redirect: a reused one may be closing just as the next request is written to it.
        pool = httpcore.AsyncConnectionPool(ssl_context=context, network_backend=backend, max_keepalive_connections=0)
        async with pool:
            for _ in range(limits.redirects + 1):
                async with pool.stream("GET", _httpcore_url(url), headers=_headers(url)) as response:
                    if response.status in _REDIRECTS:
                        url = _redirect_target(url, response)
                        continue
                    return await _body(response, limits)
        raise BadUrl(f"The URL redirects more than {limits.redirects} times. Give the address it ends at.")


def _httpcore_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _headers(url: httpx.URL) -> list[tuple[str, str]]:
    return [("Host", url.netloc.decode("ascii")), *_HEADERS]


def _redirect_target(url: httpx.URL, response: httpcore.Response) -> httpx.URL:
    where = {name.lower(): value for name, value in response.headers}.get(b"location")
    if where is None:
        raise BadUrl("The URL's redirect has no `Location`. Give the picture's own address.")
    try:
        return read_url(str(url.join(where.decode("ascii"))))
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise BadUrl("The URL redirects to an invalid URL. Give the picture's own address.") from None


async def _body(response: httpcore.Response, limits: IntakeLimits) -> bytes:
    if response.status != 200:
        raise BadUrl(f"The URL's host answered {response.status} instead of a picture.")
    length = {name.lower(): value for name, value in response.headers}.get(b"content-length", b"0")
    if length.isdigit() and int(length) > limits.max_bytes:
        raise too_many_bytes(limits)
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > limits.max_bytes:
            raise too_many_bytes(limits)
    return bytes(body)
