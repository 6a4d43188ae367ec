"""A selfie's URL, against a real https server on loopback with its own authority."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
import trustme

from core.errors import BadPicture, BadUrl, ImgPodError, TooLarge
from core.images import IntakeLimits, open_selfie
from core.images.fetch import HttpsFetch, read_url
from core.safe_http import Address, is_global
from core.safe_http import resolve as system_resolve

LOOPBACK = ip_address("127.0.0.1")
LIMITS = IntakeLimits(max_bytes=20_000, url_timeout_s=1.5)
OK = b"HTTP/1.1 200 OK\r\n"

Answer = Callable[["Site", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Site:
    """An https server; `answers` maps a path to the response's bytes, `requests` records the requests."""

    port: int = 0
    server_names: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    answers: dict[str, bytes | Answer] = field(default_factory=dict)

    def url(self, path: str, host: str = "pictures.example") -> str:
        return f"https://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(request)
            answer = self.answers[request.split(b" ")[1].decode()]
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(self, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client may close the connection early, which half of these tests check
        finally:
            writer.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def site(authority: trustme.CA) -> AsyncIterator[Site]:
    site = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.example", "cdn.example").configure_cert(context)
    context.sni_callback = lambda _socket, name, _context: site.server_names.append(name)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site


@pytest.fixture
def fetch(authority: trustme.CA) -> HttpsFetch:
    """A fetch that allows loopback and no other private address; names ending in `.example` resolve to loopback."""

    async def resolve(host: str, port: int) -> list[Address]:
        return [LOOPBACK] if host.endswith(".example") else await system_resolve(host, port)

    context = ssl.create_default_context()
    authority.configure_trust(context)
    return HttpsFetch(allowed=lambda a: a == LOOPBACK or is_global(a), resolve=resolve, ssl_context=context, ports=None)


def redirect(where: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()


def body(data: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%b" % (len(data), data)


async def test_fetch_returns_the_bytes_of_a_url(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/me.jpg?size=large&x=%2F"] = body(b"picture")
    assert await fetch(site.url("/me.jpg?size=large&x=%2F#face"), LIMITS) == b"picture"


async def test_host_name_is_used_in_tls_and_host_header(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = body(b"picture")
    await fetch(site.url(""), LIMITS)
    assert site.server_names == ["pictures.example"]
    assert f"Host: pictures.example:{site.port}\r\n".encode() in site.requests[0]


async def test_host_receives_no_headers_that_identify_the_service(
    site: Site, fetch: HttpsFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    site.answers["/"] = body(b"picture")
    assert await fetch(site.url("/"), LIMITS) == b"picture"
    names = {line.split(b":")[0].lower() for line in site.requests[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"user-agent", b"accept", b"accept-encoding"}


async def test_a_certificate_of_another_name_is_refused(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = body(b"picture")
    with pytest.raises(BadUrl, match="certificate"):
        await fetch(site.url("/", host="elsewhere.example"), LIMITS)
    assert site.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(site: Site) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [LOOPBACK]

    with pytest.raises(BadUrl, match="certificate"):
        await HttpsFetch(allowed=lambda _: True, resolve=resolve, ports=None)(site.url("/"), LIMITS)


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "https://169.254.169.254/latest/meta-data/",
    "https://localhost/",
    "https://localhost.localdomain/",
    "https://127.0.0.2/",
    "https://127.1/",
    "https://2130706434/",
    "https://0177.0.0.2/",
    "https://0x7f.0.0.2/",
    "https://0x7f000002/",
    "https://10.1.2.3/",
    "https://192.168.0.1:8080/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.2]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://metadata.google.internal/",
    "https://user:secret@pictures.example/",
    "https://pictures.example@10.0.0.1/",
    "https://",
    "https:///etc/passwd",
    "https://pictures.example:99999/",
    "https://pictures.example:65536/",
    "https://pictures.example:0/",
    "https://pictures.example:22/",
    "https://1.1.1.1:6379/",
    "https://xn--/",
    "https://xn--a/",
    "https://www.xn--a.example/",
    "https://192.0.0.192/opc/v2/instance/",
    "https://168.63.129.16/metrics",
    "https://pictures.example\\@10.0.0.1/",
    "https://pictures .example/",
    "https://pictures.example\r\nX: y/",
    "https://\u2488\u24ea.0.0.1/",
    "https://" + "a" * 9_000,
    "http://pictures.example/me.jpg",
    "ftp://pictures.example/me.jpg",
    "file:///etc/passwd",
    "gopher://10.0.0.1/",
    "HTTPS://LOCALHOST/",
    "javascript://pictures.example/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_url_with_a_private_address_is_refused(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        await open_selfie(url)
    # The error must contain neither the resolved address nor the URL.
    assert "secret" not in caught.value.message
    assert "10.0.0.1" not in caught.value.message


async def test_only_https_without_a_password_is_accepted(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = body(b"picture")
    with pytest.raises(BadUrl, match="must begin with https://"):
        await fetch(site.url("/").replace("https", "http"), LIMITS)
    with pytest.raises(BadUrl, match="password"):
        await fetch(site.url("/", host="user:secret@pictures.example"), LIMITS)
    assert site.requests == []


@pytest.mark.parametrize("address", ["10.0.0.7", "169.254.169.254", "::1", "::ffff:192.168.0.1", "fd00::1"])
async def test_a_public_name_with_a_private_address_is_refused(address: str) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [ip_address("93.184.216.34"), ip_address(address)]

    with pytest.raises(BadUrl, match="public internet"):
        await HttpsFetch(resolve=resolve)("https://innocent.example/me.jpg", LIMITS)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(site: Site, fetch: HttpsFetch, status: int) -> None:
    site.answers["/a"] = redirect("/b", status)
    site.answers["/b"] = redirect(site.url("/c", host="cdn.example"), status)
    site.answers["/c"] = redirect("../d", status)
    site.answers["/d"] = body(b"picture")
    assert await fetch(site.url("/a"), LIMITS) == b"picture"
    assert site.server_names == ["pictures.example"] * 2 + ["cdn.example"] * 2


async def test_a_fourth_redirect_is_refused(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/loop"] = redirect("/loop")
    with pytest.raises(BadUrl, match="more than 3 times"):
        await fetch(site.url("/loop"), LIMITS)
    assert len(site.requests) == 4


@pytest.mark.parametrize(
    "where",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706434/",
        "//127.0.0.2/",
        "http://pictures.example/me.jpg",
        "file:///etc/passwd",
        "https://user:secret@pictures.example/",
        "https://exa mple/",
        "https://xn--/",
        "https://xn--a/",
        "https://pictures.example:70000/",
        "data:image/png;base64,AAAA",
        "caf\u00e9",
        "",
    ],
)
async def test_redirect_to_a_private_address_is_refused(site: Site, fetch: HttpsFetch, where: str) -> None:
    site.answers["/a"] = redirect(where) if where else b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(BadUrl):
        await fetch(site.url("/a"), LIMITS)
    assert len(site.requests) == 1


async def test_dns_change_after_the_check_has_no_effect(site: Site, authority: trustme.CA) -> None:
    answers = [[LOOPBACK], [ip_address("10.0.0.1")]]

    async def rebinding(host: str, port: int) -> list[Address]:
        return answers.pop(0)

    context = ssl.create_default_context()
    authority.configure_trust(context)
    site.answers["/"] = body(b"picture")
    fetch = HttpsFetch(allowed=lambda a: a == LOOPBACK, resolve=rebinding, ssl_context=context, ports=None)
    assert await fetch(site.url("/"), LIMITS) == b"picture"
    assert len(answers) == 1


async def drip(site: Site, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_headers(site: Site, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silence(site: Site, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def flood(site: Site, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(10_000):
        writer.write(b"1000\r\n" + b"\xff" * 0x1000 + b"\r\n")
        await writer.drain()


async def endless_headers(site: Site, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    for _ in range(10_000):
        writer.write(b"X-Long: " + b"y" * 1_000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("answer", [drip, drip_headers, silence])
async def test_slow_host_is_aborted_at_the_time_limit(site: Site, fetch: HttpsFetch, answer: Answer) -> None:
    site.answers["/"] = answer
    with pytest.raises(BadUrl, match=r"longer than 0\.4 s"):
        await fetch(site.url("/"), IntakeLimits(url_timeout_s=0.4))


async def test_endless_body_is_aborted_at_the_size_limit(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = flood
    with pytest.raises(TooLarge):
        await fetch(site.url("/"), LIMITS)


async def test_a_length_over_the_limit_is_refused_before_the_body(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = OK + b"Content-Length: 30000000\r\n\r\n"
    with pytest.raises(TooLarge):
        await fetch(site.url("/"), LIMITS)


async def test_body_of_exactly_the_limit_is_accepted_and_one_byte_more_refused(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = OK + b"Connection: close\r\n\r\n" + b"x" * LIMITS.max_bytes
    assert len(await fetch(site.url("/"), LIMITS)) == LIMITS.max_bytes
    site.answers["/"] = OK + b"Connection: close\r\n\r\n" + b"x" * (LIMITS.max_bytes + 1)
    with pytest.raises(TooLarge):
        await fetch(site.url("/"), LIMITS)


BROKEN: dict[str, bytes | Answer] = {
    "endless headers": endless_headers,
    "no answer": b"",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "cut short": OK + b"Content-Length: 100\r\n\r\nhalf",
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "not changed": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "in trouble": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "part": b"HTTP/1.1 206 Partial\r\nContent-Length: 1\r\n\r\nx",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_response_without_a_picture_is_a_bad_url(site: Site, fetch: HttpsFetch, name: str) -> None:
    site.answers["/"] = BROKEN[name]
    with pytest.raises(BadUrl):
        await fetch(site.url("/"), LIMITS)


async def test_compressed_body_is_not_decompressed(site: Site, fetch: HttpsFetch) -> None:
    site.answers["/"] = OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    with pytest.raises(BadPicture):
        await open_selfie(site.url("/"), fetch=fetch, limits=LIMITS)


async def test_a_redirect_to_another_port_is_refused(site: Site, authority: trustme.CA) -> None:
    async def resolve(host: str, port: int) -> list[Address]:
        return [LOOPBACK]

    context = ssl.create_default_context()
    authority.configure_trust(context)
    site.answers["/a"] = redirect("https://pictures.example:22/")
    fetch = HttpsFetch(allowed=lambda _: True, resolve=resolve, ssl_context=context, ports=frozenset({443, site.port}))
    with pytest.raises(BadUrl, match="port"):
        await fetch(site.url("/a"), LIMITS)
    assert len(site.requests) == 1


async def test_a_closed_port_is_a_bad_url(fetch: HttpsFetch, unused_tcp_port: int) -> None:
    with pytest.raises(BadUrl):
        await fetch(f"https://pictures.example:{unused_tcp_port}/", LIMITS)


async def test_no_error_names_the_url(site: Site, fetch: HttpsFetch) -> None:
    for path, answer in {"/canary": body(b"x"), "/canary404": BROKEN["not found"]}.items():
        site.answers[path] = answer
        with pytest.raises(ImgPodError) as caught:
            await open_selfie(site.url(f"{path}"), fetch=fetch, limits=LIMITS)
        assert "canary" not in repr(caught.value)
        assert "pictures.example" not in caught.value.to_wire()


def test_a_plain_url_is_parsed() -> None:
    url = read_url("https://Pictures.Example/a%20b?x=1")
    assert (url.host, url.raw_path, url.port) == ("pictures.example", b"/a%20b?x=1", None)
