"""The HTTP side of load-balancing endpoints: forward a request to a worker and stream its answer back.

Nothing is buffered, so server-sent events arrive one by one, and a client that disconnects also disconnects the worker.
Limits and status codes: RunPod's load-balancing overview (July 2026). It doesn't document the status of an oversized
body (413 here) or of an answer after the time limit (524 here).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from localpod.api.call import ApiError
from localpod.load_balancer import (
    MAX_BODY_BYTES,
    REQUEST_TIMEOUT_S,
    Affinity,
    AffinityWorkerGone,
    LoadBalancer,
    NoWorker,
    ServedBalancer,
)
from localpod.slots import WorkerSlot

WORKER_HEADER = "X-Runpod-Worker-Id"
_HOP_BY_HOP = {
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",  # codespell:ignore te
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Proxy:
    """Forwards requests. `authorization` says whether the worker receives that header; RunPod's edge consumes it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._session = session
        self._request_timeout_s = request_timeout_s
        self._max_body_bytes = max_body_bytes

    async def forward(
        self, request: web.BaseRequest, served: ServedBalancer, path: str, *, authorization: bool
    ) -> web.StreamResponse:
        """Forward a request to a worker. `path` is the encoded path with its query. Raises `ApiError`."""
        if not path.startswith("/"):  # an absolute URL, which would change the worker's URL
            raise ApiError(400, "the request target must be a path")
        if (request.content_length or 0) > self._max_body_bytes:
            raise self._too_large()
        slot = await _acquire(served.balancer, request)
        completed = False
        try:
            exchange = _Exchange(request, slot.worker_id, self._max_body_bytes)
            answer = await self._exchange(exchange, _url(served, slot, path), authorization=authorization)
            completed = answer.status < 500
            return answer
        finally:
            served.balancer.release(slot, completed=completed)

    async def _exchange(self, exchange: _Exchange, url: URL, *, authorization: bool) -> web.StreamResponse:
        try:
            async with (
                asyncio.timeout(self._request_timeout_s),
                self._session.request(
                    exchange.request.method,
                    url,
                    headers=exchange.headers(authorization=authorization),
                    data=exchange.body(),
                    allow_redirects=False,
                    skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                ) as upstream,
            ):
                return await exchange.stream(upstream)
        except (aiohttp.ClientError, TimeoutError) as error:
            return exchange.fail(self._failure(exchange, error))

    def _failure(self, exchange: _Exchange, error: Exception) -> ApiError:
        if exchange.too_large:
            return self._too_large()
        if isinstance(error, TimeoutError):
            return ApiError(524, f"the worker took longer than {self._request_timeout_s:g} s")
        return ApiError(502, "the worker closed the connection or doesn't listen on its port")

    def _too_large(self) -> ApiError:
        return ApiError(413, f"exceeded max body size of {self._max_body_bytes // 1_000_000} MB")


class _Exchange:
    """One request and its answer. `too_large` is set when the request's body exceeds the limit while it is read."""

    def __init__(self, request: web.BaseRequest, worker_id: str, max_body_bytes: int) -> None:
        self.request = request
        self._worker_id = worker_id
        self.too_large = False
        self._max_body_bytes = max_body_bytes
        self._answer: web.StreamResponse | None = None

    def headers(self, *, authorization: bool) -> CIMultiDict[str]:
        headers = _end_to_end(self.request.headers)
        if not authorization:
            headers.popall("Authorization", None)
        headers["X-Forwarded-Proto"] = "http"
        headers["X-Forwarded-For"] = self.request.remote or ""
        return headers

    def body(self) -> AsyncIterator[bytes] | None:
        return self._chunks() if self.request.can_read_body else None

    async def _chunks(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self.request.content.iter_any():
            size += len(chunk)
            if size > self._max_body_bytes:
                self.too_large = True
                raise aiohttp.ClientPayloadError("the request's body is too large")
            yield chunk

    async def stream(self, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """Send the upstream's answer to the client. Raises `aiohttp.ClientPayloadError` when it is too large."""
        if (upstream.content_length or 0) > self._max_body_bytes:
            raise aiohttp.ClientPayloadError("the answer is too large")
        answer = self._answer = web.StreamResponse(
            status=upstream.status, reason=upstream.reason, headers=_end_to_end(upstream.headers)
        )
        answer.headers[WORKER_HEADER] = self._worker_id
        await answer.prepare(self.request)
        size = 0
        async for chunk in upstream.content.iter_any():
            size += len(chunk)
            if size > self._max_body_bytes:
                raise aiohttp.ClientPayloadError("the answer is too large")
            await answer.write(chunk)
        await answer.write_eof()
        return answer

    def fail(self, error: ApiError) -> web.StreamResponse:
        """Raise the error, or close the connection when the answer has begun."""
        if self._answer is None:
            raise error
        if self.request.transport is not None:
            self.request.transport.close()
        return self._answer


async def _acquire(balancer: LoadBalancer, request: web.BaseRequest) -> WorkerSlot:
    try:
        return await balancer.acquire(Affinity.parse(request.headers.get(WORKER_HEADER, "")))
    except NoWorker as error:
        raise ApiError(400, str(error)) from None
    except AffinityWorkerGone:
        raise ApiError(404, "affinity_worker_gone") from None


def _url(served: ServedBalancer, slot: WorkerSlot, path: str) -> URL:
    port = served.worker_pool.workers[slot.worker_id].port
    return URL(f"http://127.0.0.1:{port}{path}", encoded=True)


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers that a proxy passes on (RFC 9110, section 7.6.1)."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP | named)
