"""Upload finished pictures to an S3-compatible bucket: the deployment's own, or the one in a job's `s3Config`.

A request is signed with botocore and sent over the same checked connection as a selfie's URL (`core.safe_http`): a
job's bucket may only be on the public internet. An object's name is random and long; its URL is presigned and expires.

May import: core.errors, core.safe_http, core.settings, botocore, httpcore, httpx, stamina.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import SplitResult, urlsplit

import httpcore
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from core.errors import BadUrl, DeadlineExceeded, EndpointUnavailable, ImgPodError, InvalidRequest, Misconfigured
from core.safe_http import CheckedBackend, Resolve, check_port, is_any, is_global, public_authorities, resolve
from core.settings import StorageSettings

if TYPE_CHECKING:
    from botocore.credentials import Credentials

_STAGE = "storage"
_DEFAULT_REGION = "us-east-1"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,500}")
_REGION = re.compile(r"(?:^|\.)(?:s3[.-])(?:dualstack\.)?([a-z]+-[a-z0-9-]+)\.")
_SPACES_REGION = re.compile(r"(?:^|\.)([a-z0-9]+)\.digitaloceanspaces\.com$")
_BARE_SERVICE = re.compile(r"s3[.-]")
_PLAIN_URL = re.compile(r"[A-Za-z]+://[A-Za-z0-9._:/@?#%=&\[\]-]+")
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_MAX_ANSWER_BYTES = 64 * 1024

_KEY_REFUSED = "the access key is wrong, or may not write there"
_WRONG_REGION = "the bucket is in another region; put the region into the endpoint's host, or into BUCKET_REGION"
_ADVICE: dict[bytes, str] = {
    b"InvalidAccessKeyId": _KEY_REFUSED,
    b"SignatureDoesNotMatch": _KEY_REFUSED,
    b"AccessDenied": _KEY_REFUSED,
    b"NoSuchBucket": "there is no such bucket; check its name and the endpoint's URL",
    b"AuthorizationHeaderMalformed": _WRONG_REGION,
    b"PermanentRedirect": _WRONG_REGION,
    b"TemporaryRedirect": _WRONG_REGION,
    b"RequestTimeTooSkewed": "this machine's clock is wrong",
}


class _JobBucket(BaseModel):
    """`s3Config` as RunPod documents it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_id: Annotated[str, Field(alias="accessId", pattern=r"^[\x21-\x7e]{1,256}$")]
    access_secret: Annotated[SecretStr, Field(alias="accessSecret", min_length=1, max_length=512)]
    bucket_name: Annotated[str | None, Field(alias="bucketName", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")] = None
    endpoint_url: Annotated[str, Field(alias="endpointUrl", max_length=1_000)]

    @field_validator("access_secret")
    @classmethod
    def _printable(cls, secret: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[\x21-\x7e]+", secret.get_secret_value()):
            raise ValueError("not printable")
        return secret


@dataclass(frozen=True, slots=True)
class Bucket:
    """Address and credentials of a bucket; an object's key is appended to `base`."""

    base: str
    key_id: str
    secret: str = field(repr=False)
    region: str
    public_base: str | None = None


@dataclass(frozen=True, slots=True)
class _Terms:
    """Limits and error class of uploads; `fault` is raised for what only the bucket's owner can correct."""

    url_expiry_s: int
    timeout_s: float
    attempts: int
    fault: type[Misconfigured | InvalidRequest]
    where: str


def object_key(image_format: str) -> str:
    """Object name of a picture: 192 random bits and the format, without any text of the request."""
    return f"{secrets.token_hex(24)}.{image_format}"


class Store:
    """A bucket for pictures; `network` and `ssl_context` are used for its connections."""

    def __init__(
        self,
        bucket: Bucket,
        terms: _Terms,
        network: httpcore.AsyncNetworkBackend,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._bucket = bucket
        self._terms = terms
        self._network = network
        self._ssl = ssl_context

    @classmethod
    def from_settings(
        cls, settings: StorageSettings, *, resolve: Resolve = resolve, ssl_context: ssl.SSLContext | None = None
    ) -> Store | None:
        """The deployment's bucket; None if none is set. Raises `Misconfigured` if the settings are incomplete."""
        endpoint, key_id, secret = settings.endpoint_url, settings.access_key_id, settings.secret_access_key
        if endpoint is None and key_id is None and secret is None:
            return None
        if endpoint is None or key_id is None or secret is None:
            given = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": key_id, "SECRET_ACCESS_KEY": secret}
            missing = " and ".join(f"BUCKET_{name}" for name, value in given.items() if value is None)
            raise Misconfigured(f"Storage also needs {missing}: set it, or unset the other BUCKET_* for no storage.")
        try:
            base, region = read_endpoint(endpoint, settings.name, schemes=("https", "http"))
        except ValueError as error:
            raise Misconfigured(f"BUCKET_ENDPOINT_URL {error}.") from None
        folders = [part for part in settings.prefix.split("/") if part]
        public = "/".join([settings.public_url.rstrip("/"), *folders]) if settings.public_url else None
        bucket = Bucket(
            "/".join([base, *folders]), key_id, secret.get_secret_value(), settings.region or region, public
        )
        terms = _terms(settings, Misconfigured, "The storage of BUCKET_ENDPOINT_URL")
        return cls(bucket, terms, CheckedBackend(allowed=is_any, resolve=resolve, ports=None), ssl_context)

    @classmethod
    def from_job(
        cls,
        s3_config: object,
        settings: StorageSettings,
        *,
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> Store:
        """The bucket of a job's `s3Config` {accessId, accessSecret, bucketName, endpointUrl}. Raises `InvalidRequest`.

        Of `settings` only the expiry, the time-outs, `allow_private` and `job_ports` apply to it.
        """
        try:
            job = _JobBucket.model_validate(s3_config)
        except ValidationError as error:
            where = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
            wrong = f"; {where[0]} is missing or not allowed" if where else ""
            raise InvalidRequest(
                f"s3Config must contain accessId, accessSecret, bucketName and endpointUrl{wrong}."
            ) from None
        try:
            schemes = ("https", "http") if settings.allow_private else ("https",)
            base, region = read_endpoint(job.endpoint_url, job.bucket_name, schemes=schemes)
            ports = None if settings.allow_private else frozenset(settings.job_ports)
            check_port(urlsplit(base).port or 443, ports)
        except ValueError as error:
            raise InvalidRequest(f"s3Config: endpointUrl {error}.") from None
        except BadUrl as error:
            raise InvalidRequest(f"s3Config: {error.message}") from None
        bucket = Bucket(base, job.access_id, job.access_secret.get_secret_value(), region)
        allowed = is_any if settings.allow_private else is_global
        network = CheckedBackend(allowed=allowed, resolve=resolve, ports=ports)
        return cls(bucket, _terms(settings, InvalidRequest, "The storage of s3Config"), network, ssl_context)

    async def put(self, data: bytes, *, key: str, content_type: str) -> str:
        """Upload `data` as `key` (see `object_key`) and return its URL, which expires.

        Raises `EndpointUnavailable` or `DeadlineExceeded` after the last attempt; `Misconfigured` (in a job's own
        bucket: `InvalidRequest`) at once for what another attempt would not change.
        """
        if not _KEY.fullmatch(key):
            raise ValueError("the key of an object must come from object_key()")
        import stamina

        async for attempt in stamina.retry_context(
            on=_is_transient, attempts=self._terms.attempts, timeout=None, wait_initial=0.2, wait_max=5.0
        ):
            with attempt:
                await self._put_once(f"{self._bucket.base}/{key}", data, content_type)
        if self._bucket.public_base is not None:
            return f"{self._bucket.public_base}/{key}"
        return self._presigned(f"{self._bucket.base}/{key}")

    async def _put_once(self, url: str, data: bytes, content_type: str) -> None:
        where, timeout_s = self._terms.where, self._terms.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                status, answer = await self._send(url, data, content_type)
        except TimeoutError:
            raise DeadlineExceeded(f"{where} took longer than {timeout_s:g} s. Try again.", stage=_STAGE) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise EndpointUnavailable(f"{where} can't be reached. Try again.", stage=_STAGE) from None
        except BadUrl as error:
            raise self._terms.fault(f"{where}: {error.message}", stage=_STAGE) from None
        if status >= 300:
            raise self._refusal(status, answer)

    async def _send(self, url: str, data: bytes, content_type: str) -> tuple[int, bytes]:
        headers = list(self._signed(url, data, content_type).items())
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._ssl or public_authorities(), network_backend=self._network
        )
        async with pool, pool.stream("PUT", url, headers=headers, content=data) as response:
            answer = b""
            async for chunk in response.aiter_stream():
                answer += chunk
                if len(answer) > _MAX_ANSWER_BYTES:
                    break
            return response.status, answer

    def _refusal(self, status: int, answer: bytes) -> ImgPodError:
        if status in {408, 429} or status >= 500:
            return EndpointUnavailable(f"{self._terms.where} answered {status}. Try again.", stage=_STAGE)
        code = _ERROR_CODE.search(answer)
        advice = _ADVICE.get(code.group(1) if code else b"", _KEY_REFUSED if status == 403 else "check its settings")
        return self._terms.fault(f"{self._terms.where} answered {status}: {advice}.", stage=_STAGE)

    def _signed(self, url: str, data: bytes, content_type: str) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = {
            "Host": urlsplit(url).netloc,
            "Content-Type": content_type,
            "Content-Length": str(len(data)),
        }
        request = AWSRequest(method="PUT", url=url, data=data, headers=headers)
        S3SigV4Auth(self._credentials(), "s3", self._bucket.region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    def _presigned(self, url: str) -> str:
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method="GET", url=url)
        S3SigV4QueryAuth(self._credentials(), "s3", self._bucket.region, expires=self._terms.url_expiry_s).add_auth(
            request
        )
        return str(request.url)

    def _credentials(self) -> Credentials:
        from botocore.credentials import Credentials

        return Credentials(self._bucket.key_id, self._bucket.secret)


def _terms(settings: StorageSettings, fault: type[Misconfigured | InvalidRequest], where: str) -> _Terms:
    return _Terms(settings.url_expiry_s, settings.timeout_s, settings.attempts, fault, where)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, ImgPodError) and error.retryable


def read_endpoint(endpoint: str, bucket: str | None, *, schemes: tuple[str, ...]) -> tuple[str, str]:
    """Base URL of a bucket's objects, and its region.

    The bucket may be in the host (`https://pictures.s3.eu-west-1.amazonaws.com`), in the path
    (`https://s3.example.com/pictures`) or in `bucket`, or in two of the three. Raises `ValueError`; its
    message continues a sentence that begins with the endpoint.
    """
    url, host = _split(endpoint)
    if url.scheme not in schemes or not host:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host")
    if "@" in url.netloc or url.query or url.fragment:
        raise ValueError("must not contain a user name, query or fragment")
    path = [part for part in url.path.split("/") if part]
    if bucket is None and not path and _BARE_SERVICE.match(host):
        raise ValueError("names no bucket: put the bucket's name in front of the host, or set it separately")
    if bucket is not None and not host.startswith(f"{bucket}.") and path[-1:] != [bucket]:
        path.append(bucket)
    if not all(_KEY.fullmatch(part) for part in path):
        raise ValueError("has a path that can't be a bucket's name")
    return "/".join([f"{url.scheme}://{url.netloc}", *path]), _region(host)


def _split(endpoint: str) -> tuple[SplitResult, str]:
    """Return a URL and its host in lower case. Only URLs that all parsers interpret in the same way are accepted."""
    if not _PLAIN_URL.fullmatch(endpoint):
        raise ValueError("is not a URL")
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    return url, host or ""


def _region(host: str) -> str:
    found = _REGION.search(host) or _SPACES_REGION.search(host)
    return found.group(1) if found else _DEFAULT_REGION
