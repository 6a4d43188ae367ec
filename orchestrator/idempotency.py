"""Idempotent results, stored in the memory of one orchestrator process.

`idempotency_s3.py` stores them in a bucket, where every orchestrator can read them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from core.contracts import PictureRequest, Result
from core.errors import AlreadyRunning, IdempotencyMismatch


class IdempotencyStore(Protocol):
    """Results of requests with an idempotency key. Failures are not stored, so that the key may be used again."""

    async def run_once(
        self,
        key: str,
        request: PictureRequest,
        run: Callable[[], Awaitable[Result]],
        s3_config: Mapping[str, object] | None = None,
    ) -> Result:
        """Return the stored result, or run and store the result. `s3_config` is the job's own bucket.

        Raises `AlreadyRunning` while the first request runs, and `IdempotencyMismatch` for another body.
        """
        ...


class InMemoryIdempotency:
    """Results of one process, stored for `keep_s` seconds, up to `max_bytes` in total; the oldest are evicted."""

    def __init__(
        self, *, keep_s: float, max_bytes: int = 256_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_s = keep_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._running: dict[str, str] = {}
        self._kept: OrderedDict[str, tuple[float, str, Result]] = OrderedDict()
        self._bytes = 0

    async def run_once(
        self,
        key: str,
        request: PictureRequest,
        run: Callable[[], Awaitable[Result]],
        s3_config: Mapping[str, object] | None = None,
    ) -> Result:
        body = digest(request, s3_config)
        self._drop_expired()
        if (kept := self._kept.get(key)) is not None:
            require_same_request(kept[1], body)
            return kept[2]
        if (running := self._running.get(key)) is not None:
            require_same_request(running, body)
            raise AlreadyRunning(
                "The request with this `idempotency_key` is still running; send it again later.", retry_after_ms=1_000
            )
        self._running[key] = body
        try:
            result = await run()
        finally:
            del self._running[key]
        self._store(key, body, result)
        return result

    def _store(self, key: str, body: str, result: Result) -> None:
        if _size_bytes(result) > self._max_bytes:
            return  # it would evict all others and then itself
        self._kept[key] = (self._clock() + self._keep_s, body, result)
        self._bytes += _size_bytes(result)
        self._drop_expired()

    def _drop_expired(self) -> None:
        now = self._clock()
        while self._kept and (self._bytes > self._max_bytes or next(iter(self._kept.values()))[0] < now):
            _, (_, _, result) = self._kept.popitem(last=False)
            self._bytes -= _size_bytes(result)


def digest(request: PictureRequest, s3_config: Mapping[str, object] | None = None) -> str:
    """Hash of what requests with one key have in common: all but the caller's ids, and the bucket without its keys."""
    body = request.model_dump(mode="json", exclude={"idempotency_key", "request_id"})
    body["received"] = [message.content for message in request.received]
    if s3_config is not None:
        body["s3Config"] = [str(s3_config.get(name)) for name in ("endpointUrl", "bucketName")]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def require_same_request(known: str, body: str) -> None:
    """Check that a key is used for the same request. Raises `IdempotencyMismatch`."""
    if known != body:
        raise IdempotencyMismatch("This `idempotency_key` was used for another request; use a new one.")


def _size_bytes(result: Result) -> int:
    return 4_000 + len(result.image_base64 or "")
