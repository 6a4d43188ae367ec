"""Idempotent results in a bucket, valid across orchestrator workers and restarts.

One object for each key. The process that writes it first (`If-None-Match: *`) runs the request under a lease as long as
the request's time limit; other processes read that it is running, or its result. An expired lease is taken over by one
process (`If-Match`). The bucket's conditional writes decide every race, without locks.

    {"body": "<digest>", "until": 1766000000.0, "result": null | {…}}

The object's name is a hash of the key; a result is the whole answer, prompt and caption included. Times are those of
the machines, whose clocks have to agree within seconds. A lifecycle rule of the bucket has to delete old objects.

May import: core, orchestrator.{bucket,idempotency}.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core.contracts import PictureRequest, Result
from core.errors import AlreadyRunning, EndpointUnavailable, Misconfigured
from core.logs import logger
from orchestrator.bucket import Bucket
from orchestrator.idempotency import digest, require_same_request

log = logger()

_LEASE_MARGIN_S = 30.0
_MAX_RACES = 5


@dataclass(frozen=True, slots=True)
class _Entry:
    """A stored entry. With `result` None the request is running, or after `until` has failed."""

    body: str
    until: float
    result: dict[str, Any] | None = None

    def to_json(self) -> bytes:
        return json.dumps({"body": self.body, "until": self.until, "result": self.result}).encode()

    @classmethod
    def read(cls, data: bytes) -> _Entry:
        """Parse an entry; an unreadable one counts as expired."""
        try:
            found = json.loads(data)
            return cls(str(found["body"]), float(found["until"]), found["result"])
        except (ValueError, TypeError, KeyError):
            return cls("", 0.0)


class S3Idempotency:
    """Idempotent results in a bucket. `lease_s` is the longest time of a request. Call `close` at the end."""

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

    async def run_once(
        self,
        key: str,
        request: PictureRequest,
        run: Callable[[], Awaitable[Result]],
        s3_config: Mapping[str, object] | None = None,
    ) -> Result:
        """Run a request once, as `IdempotencyStore.run_once` does.

        Raises `EndpointUnavailable` without running anything if the bucket fails.
        """
        name, body = _object_name(key), digest(request, s3_config)
        for _ in range(_MAX_RACES):
            found, tag = await self._bucket.get(name)
            entry = None if found is None else _Entry.read(found)
            if entry is not None and entry.until > self._clock():
                require_same_request(entry.body, body)
                return _result_of(entry)
            held = await self._bucket.put(name, self._running(body), tag)
            if held is not None:
                return await self._run(name, body, held, run)
        raise AlreadyRunning(
            "Other requests use this `idempotency_key` at the same time; send it again.", retry_after_ms=1_000
        )

    def _running(self, body: str) -> bytes:
        return _Entry(body, self._clock() + self._lease_s).to_json()

    async def _run(self, name: str, body: str, tag: str, run: Callable[[], Awaitable[Result]]) -> Result:
        try:
            result = await run()
        except BaseException:
            await self._finish(name, _Entry(body, 0.0), tag)
            raise
        kept = _Entry(body, self._clock() + self._keep_s, result.model_dump(mode="json"))
        await self._finish(name, kept, tag)
        return result

    async def _finish(self, name: str, entry: _Entry, tag: str) -> None:
        """Store the outcome. A result that can't be stored is still returned; its key is free when the lease ends."""
        try:
            if await self._bucket.put(name, entry.to_json(), tag) is None:
                log.warning("idempotency key was taken over", reason="lease expired")
        except (EndpointUnavailable, Misconfigured) as error:
            log.warning("idempotent answer not stored", code=error.code)


def _result_of(entry: _Entry) -> Result:
    if entry.result is None:
        raise AlreadyRunning(
            "The request with this `idempotency_key` is still running; send it again later.", retry_after_ms=1_000
        )
    try:
        return Result.model_validate(entry.result, extra="ignore")
    except ValidationError:
        raise AlreadyRunning("The answer stored under this key is of another release; use a new key.") from None


def _object_name(key: str) -> str:
    return f"ledger/{hashlib.sha256(key.encode()).hexdigest()}.json"
