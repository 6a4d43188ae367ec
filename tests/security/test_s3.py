"""Pictures are uploaded to a bucket and read from it; the bucket is on moto's S3 server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
import stamina
import trustme
from botocore.config import Config
from pydantic import SecretStr, ValidationError

from core.errors import DeadlineExceeded, EndpointUnavailable, ImgPodError, InvalidRequest, Misconfigured
from core.safe_http import Address
from core.settings import MAX_URL_EXPIRY_S, StorageSettings
from core.storage.s3 import Store, object_key, read_endpoint

SECRET = "canary/secret+of=40characters"
KEY_ID = "AKIACANARYCANARY"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@contextlib.contextmanager
def moto_server(**environment: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/moto-api/data.json", trust_env=False)
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def client(port: int, service: str = "s3", key_id: str = KEY_ID, secret: str = SECRET):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4" if service == "s3" else None),
    )


@pytest.fixture(scope="module")
def s3() -> Iterator[int]:
    """The port of an S3 server that accepts any key."""
    with moto_server() as port:
        client(port).create_bucket(Bucket="pictures")
        yield port


@dataclass(frozen=True)
class Guarded:
    port: int
    writer: tuple[str, str]
    reader: tuple[str, str]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """An S3 server that checks signatures and permissions: one key may write, the other may not."""
    with moto_server(INITIAL_NO_AUTH_ACTION_COUNT="6") as port:
        iam = client(port, "iam")
        keys = {}
        for user, action in {"writer": "s3:*", "reader": "s3:GetObject"}.items():
            iam.create_user(UserName=user)
            policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}
            iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=json.dumps(policy))
            key = iam.create_access_key(UserName=user)["AccessKey"]
            keys[user] = (key["AccessKeyId"], key["SecretAccessKey"])
        client(port, key_id=keys["writer"][0], secret=keys["writer"][1]).create_bucket(Bucket="pictures")
        yield Guarded(port, **keys)


Fault = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Front:
    """A proxy for the S3 server: each connection gets the next fault; when none is left, it is forwarded."""

    behind: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.set()
            if self.faults:
                await self.faults.pop(0)(writer)
                return
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.behind)
            to_server.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await asyncio.gather(_pipe(reader, to_server), _pipe(from_server, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # some of these tests check that the client closes the connection early
        finally:
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def front(s3: int) -> AsyncIterator[Front]:
    front = Front(s3)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    async with server:
        yield front


def answering(status: int, body: bytes = b"") -> Fault:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()

    return answer


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove the pauses between attempts; the number of attempts is that of the settings."""
    for name in [name for name in os.environ if name.startswith("BUCKET_")]:
        monkeypatch.delenv(name)
    with stamina.set_testing(testing=True, attempts=10, cap=True):
        yield


def settings(port: int, **more: object) -> StorageSettings:
    values: dict[str, object] = {
        "endpoint_url": f"http://127.0.0.1:{port}",
        "access_key_id": KEY_ID,
        "secret_access_key": SECRET,
        "name": "pictures",
    }
    return StorageSettings(**{**values, **more})  # type: ignore[arg-type]  # pydantic checks them


def store(port: int, **more: object) -> Store:
    made = Store.from_settings(settings(port, **more))
    assert made is not None
    return made


async def fetched(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(url)


async def test_stored_picture_can_be_read_at_its_url(s3: int) -> None:
    url = await store(s3).put(PICTURE, key=object_key("png"), content_type="image/png")
    answer = await fetched(url)
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/png"


async def test_url_expires_after_the_configured_time(s3: int) -> None:
    url = await store(s3, url_expiry_s=900).put(PICTURE, key="a.png", content_type="image/png")
    asked = parse_qs(urlsplit(url).query)
    assert asked["X-Amz-Expires"] == ["900"]
    assert "X-Amz-Signature" in asked
    default = await store(s3).put(PICTURE, key="a.png", content_type="image/png")
    assert parse_qs(urlsplit(default).query)["X-Amz-Expires"] == [str(7 * 24 * 3600)]


async def test_the_url_is_the_one_boto3_would_sign(s3: int) -> None:
    ours, theirs = "", "unsigned"
    for _ in range(5):  # both contain the second in which they were signed
        ours = await store(s3).put(PICTURE, key="folder/a.png", content_type="image/png")
        theirs = client(s3).generate_presigned_url(
            "get_object", Params={"Bucket": "pictures", "Key": "folder/a.png"}, ExpiresIn=MAX_URL_EXPIRY_S
        )
        if parse_qs(urlsplit(ours).query)["X-Amz-Date"] == parse_qs(urlsplit(theirs).query)["X-Amz-Date"]:
            break
    assert urlsplit(ours)[:3] == urlsplit(theirs)[:3]
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)


@pytest.mark.parametrize(("region", "signed"), [("eu-west-9", "eu-west-9"), (None, "us-west-2")])
def test_a_region_that_is_set_wins_over_the_one_in_the_host(region: str | None, signed: str) -> None:
    made = store(1, endpoint_url="https://s3.us-west-2.amazonaws.com", region=region)
    assert f"%2F{signed}%2Fs3%2F" in made._presigned("https://s3.us-west-2.amazonaws.com/pictures/a.png")


async def test_a_prefix_is_a_folder(s3: int) -> None:
    url = await store(s3, prefix="/avatars/2026/").put(PICTURE, key="a.webp", content_type="image/webp")
    assert urlsplit(url).path == "/pictures/avatars/2026/a.webp"
    assert client(s3).get_object(Bucket="pictures", Key="avatars/2026/a.webp")["ContentType"] == "image/webp"


async def test_a_public_bucket_has_plain_urls(s3: int) -> None:
    made = store(s3, public_url="https://cdn.example.com/", prefix="avatars")
    assert await made.put(PICTURE, key="a.png", content_type="image/png") == "https://cdn.example.com/avatars/a.png"


async def test_a_real_signature_is_sent(guarded: Guarded) -> None:
    key_id, secret = guarded.writer
    made = store(guarded.port, access_key_id=key_id, secret_access_key=secret, prefix="avatars")
    await made.put(PICTURE, key="a.png", content_type="image/png")
    stored = client(guarded.port, key_id=key_id, secret=secret).get_object(Bucket="pictures", Key="avatars/a.png")
    assert stored["Body"].read() == PICTURE


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_signature_covers_the_pictures_bytes(scheme: str) -> None:
    headers = store(1)._signed(f"{scheme}://s3.example.com/pictures/a.png", PICTURE, "image/png")
    assert headers["X-Amz-Content-SHA256"] == hashlib.sha256(PICTURE).hexdigest()
    assert "content-type;host;x-amz-content-sha256;x-amz-date" in headers["Authorization"]


async def test_wrong_credentials_say_which_settings_to_check(guarded: Guarded) -> None:
    for key_id, secret in ((guarded.writer[0], SECRET), (KEY_ID, SECRET), guarded.reader):
        made = store(guarded.port, access_key_id=key_id, secret_access_key=secret)
        with pytest.raises(Misconfigured, match="access key is wrong, or may not write") as caught:
            await made.put(PICTURE, key="a.png", content_type="image/png")
        assert key_id not in caught.value.to_wire()
        assert secret not in caught.value.to_wire()


async def test_missing_bucket_is_named_in_the_error(s3: int) -> None:
    with pytest.raises(Misconfigured, match="no such bucket"):
        await store(s3, name="elsewhere").put(PICTURE, key="a.png", content_type="image/png")


@pytest.mark.parametrize("fault", [answering(500), answering(503), answering(429), reset])
async def test_failed_upload_is_retried(front: Front, fault: Fault) -> None:
    front.faults = [fault, fault]
    url = await store(front.port).put(PICTURE, key=object_key("png"), content_type="image/png")
    assert front.connections == 3
    assert (await fetched(url)).content == PICTURE


async def test_slow_attempt_is_aborted_and_retried(front: Front) -> None:
    front.faults = [silence]
    made = store(front.port, timeout_s=0.5)
    assert (await fetched(await made.put(PICTURE, key="s.png", content_type="image/png"))).content == PICTURE


async def test_always_slow_storage_fails_at_the_deadline(front: Front) -> None:
    front.faults = [silence] * 9
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await store(front.port, timeout_s=0.2, attempts=2).put(PICTURE, key="s.png", content_type="image/png")
    assert front.connections == 2


async def test_storage_with_server_errors_is_unavailable_after_the_last_attempt(front: Front) -> None:
    front.faults = [answering(503)] * 9
    with pytest.raises(EndpointUnavailable) as caught:
        await store(front.port, attempts=3).put(PICTURE, key="s.png", content_type="image/png")
    assert front.connections == 3
    assert caught.value.retryable


async def test_a_server_that_is_down_is_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(EndpointUnavailable, match="can't be reached"):
        await store(unused_tcp_port).put(PICTURE, key="s.png", content_type="image/png")


async def test_storage_host_that_does_not_resolve_is_a_configuration_error() -> None:
    made = store(1, endpoint_url="https://no-such-host.invalid")
    with pytest.raises(Misconfigured, match="no address"):
        await made.put(PICTURE, key="s.png", content_type="image/png")


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, b"AuthorizationHeaderMalformed", "region"),
        (301, b"PermanentRedirect", "region"),
        (307, b"TemporaryRedirect", "region"),
        (403, b"RequestTimeTooSkewed", "clock"),
        (403, b"", "access key"),
        (400, b"SomethingNew", "settings"),
    ],
)
async def test_refused_upload_is_not_retried_and_says_what_to_do(
    front: Front, status: int, code: bytes, advice: str
) -> None:
    front.faults = [answering(status, b"<Error><Code>" + code + b"</Code><Message>canary</Message></Error>")]
    with pytest.raises(Misconfigured, match=advice) as caught:
        await store(front.port).put(PICTURE, key="s.png", content_type="image/png")
    assert front.connections == 1
    assert "canary" not in caught.value.to_wire()


async def test_endless_error_body_is_cut(front: Front) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 No\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    front.faults = [endless]
    with pytest.raises(Misconfigured):
        await store(front.port, timeout_s=5, attempts=1).put(PICTURE, key="s.png", content_type="image/png")


async def test_a_cancelled_upload_ends_at_once(front: Front) -> None:
    front.faults = [silence]
    task = asyncio.ensure_future(store(front.port).put(PICTURE, key="s.png", content_type="image/png"))
    await front.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("key", ["", "../a.png/../..\n", "a b.png", "/a.png", "a?x=1", "émile.png", "a" * 600, "-a"])
async def test_object_key_with_unsafe_text_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="object_key"):
        await store(1).put(PICTURE, key=key, content_type="image/png")


def test_object_keys_are_unguessable() -> None:
    keys = {object_key("webp") for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(len(key.removesuffix(".webp")) * 4 >= 128 for key in keys)


def job(**more: object) -> dict[str, object]:
    return {
        "accessId": KEY_ID,
        "accessSecret": SECRET,
        "bucketName": "pictures",
        "endpointUrl": "https://s3.example.com",
        **more,
    }


async def to_loopback(host: str, port: int) -> list[Address]:
    return [ip_address("127.0.0.1")]


async def test_job_can_name_its_own_bucket_in_the_host(s3: int) -> None:
    authority = trustme.CA()
    front = Front(s3)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.s3.amazonaws.com").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with await asyncio.start_server(front.serve, "127.0.0.1", 0, ssl=serving) as server:
        port = server.sockets[0].getsockname()[1]
        made = Store.from_job(
            job(endpointUrl=f"https://pictures.s3.amazonaws.com:{port}"),
            StorageSettings(allow_private=True, url_expiry_s=60),
            resolve=to_loopback,
            ssl_context=trusting,
        )
        url = await made.put(PICTURE, key="job.png", content_type="image/png")
    assert url.startswith(f"https://pictures.s3.amazonaws.com:{port}/job.png?")
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]
    assert client(s3).get_object(Bucket="pictures", Key="job.png")["Body"].read() == PICTURE


async def test_bucket_of_a_job_uses_no_setting_of_the_deployment(s3: int) -> None:
    ours = settings(s3, prefix="ours", public_url="https://cdn.example.com", region="eu-west-9", allow_private=True)
    made = Store.from_job(job(endpointUrl=f"http://127.0.0.1:{s3}", accessId="AKIATHEIRS"), ours)
    url = await made.put(PICTURE, key="theirs.png", content_type="image/png")
    assert urlsplit(url).path == "/pictures/theirs.png"
    assert "AKIATHEIRS%2F" in url
    assert "eu-west-9" not in url
    assert KEY_ID not in url


@pytest.mark.parametrize(
    "config",
    [
        None,
        "s3://bucket",
        [],
        {},
        {"accessId": KEY_ID, "accessSecret": SECRET},
        job(accessId=""),
        job(accessId="a b"),
        job(accessId="a\r\nX: y"),
        job(accessSecret=""),
        job(accessSecret=7),
        job(accessSecret="\ud800"),
        job(accessSecret="a\nb"),
        job(bucketName="../other"),
        job(bucketName=""),
        job(endpointUrl=""),
        job(endpointUrl="s3.example.com"),
        job(endpointUrl="http://s3.example.com"),
        job(endpointUrl="https://user:word@s3.example.com"),
        job(endpointUrl="https://s3.example.com?x=1"),
        job(endpointUrl="https://s3.example.com/a/../b"),
        job(endpointUrl="https://s3.example.com\\@10.0.0.1"),
        job(endpointUrl="https://s3.example.com:x"),
        job(endpointUrl="https://[::1"),
        job(endpointUrl="file:///etc/passwd"),
        job(endpointUrl="https://s3.example.com/" + "a" * 2_000),
        job(endpointUrl="https://s3.example.com", bucketName=None),
    ],
)
def test_a_malformed_s3_config_is_an_invalid_request(config: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Store.from_job(config, StorageSettings())
    assert SECRET not in caught.value.to_wire()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("port", [22, 6379, 9000])
def test_a_jobs_bucket_on_another_port_is_refused_before_the_upload(port: int) -> None:
    config = {
        "accessId": "k", "accessSecret": "s", "bucketName": "pictures", "endpointUrl": f"https://s3.example:{port}",
    }  # fmt: skip
    with pytest.raises(InvalidRequest, match="port"):
        Store.from_job(config, StorageSettings())
    assert Store.from_job(config, StorageSettings(job_ports=(443, port)))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://169.254.169.254",
        "https://10.0.0.1:9000",
        "https://localhost:9000",
        "https://127.1",
        "https://2130706433",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
    ],
)
async def test_a_jobs_bucket_on_a_private_network_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidRequest, match=r"public internet|port"):
        await Store.from_job(job(endpointUrl=endpoint), StorageSettings()).put(
            PICTURE, key="a.png", content_type="image/png"
        )


async def test_jobs_bucket_that_resolves_to_a_private_address_is_refused() -> None:
    made = Store.from_job(job(), StorageSettings(), resolve=to_loopback)
    with pytest.raises(InvalidRequest, match="public internet"):
        await made.put(PICTURE, key="a.png", content_type="image/png")


async def test_wrong_credentials_of_a_job_are_an_invalid_request(guarded: Guarded) -> None:
    config = job(endpointUrl=f"http://127.0.0.1:{guarded.port}")
    made = Store.from_job(config, StorageSettings(allow_private=True))
    with pytest.raises(InvalidRequest, match="s3Config") as caught:
        await made.put(PICTURE, key="a.png", content_type="image/png")
    assert not caught.value.retryable
    assert SECRET not in repr(made)


def test_picture_is_not_stored_without_settings() -> None:
    assert Store.from_settings(StorageSettings()) is None


@pytest.mark.parametrize("missing", ["endpoint_url", "access_key_id", "secret_access_key"])
def test_incomplete_bucket_settings_are_a_configuration_error(missing: str) -> None:
    with pytest.raises(Misconfigured, match=f"also needs BUCKET_{missing.upper()}:"):
        Store.from_settings(settings(1, **{missing: None}))


def test_settings_come_from_the_environment_and_hide_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_ENDPOINT_URL", "https://pictures.s3.eu-west-1.amazonaws.com")
    monkeypatch.setenv("BUCKET_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("BUCKET_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("BUCKET_URL_EXPIRY_S", "3600")
    monkeypatch.setenv("BUCKET_NAME", "")
    read = StorageSettings()
    assert (read.name, read.url_expiry_s, read.secret_access_key) == (None, 3600, SecretStr(SECRET))
    assert SECRET not in repr(read)
    assert Store.from_settings(read) is not None


@pytest.mark.parametrize(
    "wrong", [{"url_expiry_s": MAX_URL_EXPIRY_S + 1}, {"url_expiry_s": 0}, {"prefix": "a b"}, {"prefix": "../x"}]
)
def test_settings_have_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(1, **wrong)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "base", "region"),
    [
        ("https://pics.s3.eu-west-1.amazonaws.com", None, "https://pics.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://pics.s3.eu-west-1.amazonaws.com/", "pics", "https://pics.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.eu-west-1.amazonaws.com", "pics", "https://s3.eu-west-1.amazonaws.com/pics", "eu-west-1"),
        ("https://s3-eu-west-1.amazonaws.com", "pics", "https://s3-eu-west-1.amazonaws.com/pics", "eu-west-1"),
        (
            "https://s3.dualstack.us-west-2.amazonaws.com",
            "p",
            "https://s3.dualstack.us-west-2.amazonaws.com/p",
            "us-west-2",
        ),
        ("https://s3.amazonaws.com/pics", None, "https://s3.amazonaws.com/pics", "us-east-1"),
        (
            "https://s3.us-west-004.backblazeb2.com",
            "pics",
            "https://s3.us-west-004.backblazeb2.com/pics",
            "us-west-004",
        ),
        ("https://pics.nyc3.digitaloceanspaces.com", None, "https://pics.nyc3.digitaloceanspaces.com", "nyc3"),
        ("https://abc.r2.cloudflarestorage.com", "pics", "https://abc.r2.cloudflarestorage.com/pics", "us-east-1"),
        ("https://abc.r2.cloudflarestorage.com/pics", "pics", "https://abc.r2.cloudflarestorage.com/pics", "us-east-1"),
        ("http://minio:9000", "pics", "http://minio:9000/pics", "us-east-1"),
        ("http://[::1]:9000/pics", None, "http://[::1]:9000/pics", "us-east-1"),
    ],
)
def test_bucket_is_read_from_host_path_or_its_own_setting(
    endpoint: str, bucket: str | None, base: str, region: str
) -> None:
    assert read_endpoint(endpoint, bucket, schemes=("https", "http")) == (base, region)


@pytest.mark.parametrize("endpoint", ["https://s3.eu-west-1.amazonaws.com", "https://s3-accesspoint.example.com/"])
def test_an_endpoint_without_a_bucket_is_refused(endpoint: str) -> None:
    with pytest.raises(Misconfigured, match="names no bucket"):
        Store.from_settings(settings(1, endpoint_url=endpoint, name=None))


def test_every_hostile_input_gets_a_typed_error() -> None:
    for endpoint in ("", "x", "https://", "ftp://a", "https://a b", "https://\u00e9", "https://a:1:2", "https://a/b#c"):
        with pytest.raises(ImgPodError):
            Store.from_settings(settings(1, endpoint_url=endpoint))
