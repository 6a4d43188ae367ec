"""Idempotent answers in a bucket, so that they hold across orchestrator workers and restarts.

One object for each key. Whoever writes it first (`If-None-Match: *`) runs the request; it holds the key for no longer
than the request may take, and everyone else sees it running, or its result. A holder that died is relieved by one
successor (`If-Match`): the bucket's conditions decide every race, and nothing is locked.

    {"body": "<digest>", "until": 1766000000.0, "result": null | {…}}

The object's name is a hash of the key; a result holds what its caller was answered, prompt and caption included. Times
are the machines' own, so their clocks have to agree within seconds. Old objects are for the bucket's lifecycle rule.

May import: core, orchestrator.idempotency, httpx, botocore.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from core.contracts import PictureRequest, Result
from core.errors import AlreadyRunning, EndpointUnavailable, Misconfigured
from core.logs import logger
from core.settings import StorageSettings
from core.storage.s3 import read_endpoint
from orchestrator.idempotency import check_same, digest

log = logger()

_STAGE = "ledger"
_LEASE_MARGIN_S = 30.0
_RACES = 5
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Entry:
    """`result` None: the request runs, or ran and failed; which one, `until` says."""

    body: str
    until: float
    result: dict[str, Any] | None = None

    def to_json(self) -> bytes:
        return json.dumps({"body": self.body, "until": self.until, "result": self.result}).encode()

    @classmethod
    def read(cls, data: bytes) -> _Entry:
        """One that can't be read has expired."""
        try:
            found = json.loads(data)
            return cls(str(found["body"]), float(found["until"]), found["result"])
        except (ValueError, TypeError, KeyError):
            return cls("", 0.0)


class S3Idempotency:
    """`lease_s` is how long a request may take at most. `close` when done."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        keep_s: float,
        lease_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bucket = bucket
        self._keep_s = keep_s
        self._lease_s = lease_s + _LEASE_MARGIN_S
        self._clock = clock

    async def close(self) -> None:
        await self._bucket.close()

    async def once(self, key: str, request: PictureRequest, run: Callable[[], Awaitable[Result]]) -> Result:
        """As `IdempotencyStore.once`. Where the bucket can't be reached nothing runs: `EndpointUnavailable`."""
        name, body = _object_name(key), digest(request)
        for _ in range(_RACES):
            found, tag = await self._bucket.get(name)
            entry = None if found is None else _Entry.read(found)
            if entry is not None and entry.until > self._clock():
                check_same(entry.body, body)
                return _result_of(entry)
            held = await self._bucket.put(name, self._running(body), tag)
            if held is not None:
                return await self._run(name, body, held, run)
        raise AlreadyRunning("Others race for this `idempotency_key`; send it again.", retry_after_ms=1_000)

    def _running(self, body: str) -> bytes:
        return _Entry(body, self._clock() + self._lease_s).to_json()

    async def _run(self, name: str, body: str, tag: str, run: Callable[[], Awaitable[Result]]) -> Result:
        try:
            result = await run()
        except BaseException:
            await self._shutdown(name, _Entry(body, 0.0), tag)
            raise
        kept = _Entry(body, self._clock() + self._keep_s, result.model_dump(mode="json"))
        await self._shutdown(name, kept, tag)
        return result

    async def _shutdown(self, name: str, entry: _Entry, tag: str) -> None:
        """A result that can't be kept is given all the same; its key is free again when the lease is over."""
        try:
            if await self._bucket.put(name, entry.to_json(), tag) is None:
                log.warning("idempotency key was taken over", reason="lease over")
        except (EndpointUnavailable, Misconfigured) as error:
            log.warning("idempotent answer not kept", code=error.code)


def _result_of(entry: _Entry) -> Result:
    if entry.result is None:
        raise AlreadyRunning("The request with this `idempotency_key` is still running.", retry_after_ms=1_000)
    try:
        return Result.model_validate(entry.result, extra="ignore")
    except ValidationError:
        raise AlreadyRunning("This key's answer is of another release; use a new one.") from None


def _object_name(key: str) -> str:
    return f"ledger/{hashlib.sha256(key.encode()).hexdigest()}.json"


# ── the bucket ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Bucket:
    """Reads and conditional writes. Raises `EndpointUnavailable` and `Misconfigured`."""

    def __init__(self, settings: StorageSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        endpoint, key_id, secret = settings.endpoint_url, settings.access_key_id, settings.secret_access_key
        if endpoint is None or key_id is None or secret is None:
            raise Misconfigured("A ledger in S3 needs storage: set BUCKET_ENDPOINT_URL and its two keys.")
        try:
            base, region = read_endpoint(endpoint, settings.name, schemes=("https", "http"))
        except ValueError as error:
            raise Misconfigured(f"BUCKET_ENDPOINT_URL {error}.") from None
        self._base = "/".join([base, *(part for part in settings.prefix.split("/") if part)])
        self._region = settings.region or region
        self._key = (key_id, secret.get_secret_value())
        self._client = httpx.AsyncClient(
            timeout=min(_TIMEOUT_S, settings.timeout_s), transport=transport or httpx.AsyncHTTPTransport(retries=1)
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, name: str) -> tuple[bytes | None, str | None]:
        """The object and its tag; None and None where there is none."""
        response = await self._send("GET", name, b"", {})
        if response.status_code == 404:
            return None, None
        self._check(response)
        return response.content, response.headers["ETag"]

    async def put(self, name: str, data: bytes, replaces: str | None) -> str | None:
        """Writes over the object tagged `replaces`, or where none is. The new tag; None where others were first."""
        condition = {"If-None-Match": "*"} if replaces is None else {"If-Match": replaces}
        response = await self._send("PUT", name, data, condition)
        if response.status_code in {404, 409, 412}:
            return None
        self._check(response)
        tag: str = response.headers["ETag"]
        return tag

    async def _send(self, method: str, name: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        url = f"{self._base}/{name}"
        try:
            return await self._client.request(
                method, url, content=data, headers=self._signed(method, url, data, headers)
            )
        except httpx.HTTPError:
            raise EndpointUnavailable("The ledger's bucket can't be reached. Try again.", stage=_STAGE) from None

    def _check(self, response: httpx.Response) -> None:
        if response.status_code >= 500 or response.status_code == 429:
            raise EndpointUnavailable("The ledger's bucket is not available. Try again.", stage=_STAGE)
        if response.status_code >= 300 or "ETag" not in response.headers:
            raise Misconfigured(
                f"The ledger's bucket answered {response.status_code}: the BUCKET_* key has to read and write it.",
                stage=_STAGE,
            )

    def _signed(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method=method, url=url, data=data, headers=headers)
        S3SigV4Auth(Credentials(*self._key), "s3", self._region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}
