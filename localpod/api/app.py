"""Dispatch of every request by its path segments.

    /v2/{endpoint}/run, runsync, status/{id}, stream/{id}, cancel/{id}, retry/{id}, purge-queue, health
    /v2/{endpoint}/job-take/{worker}, job-take-batch/{worker}, job-stop/{worker}, job-done/{worker}/{id},
                   job-stream/{worker}/{id}, ping/{worker}
    /lb/{endpoint}/…                                        a load-balancing endpoint, with a key
    /localpod/faults, /localpod/state
    /…                                                      the HTTP API, if one is served

There is no router: each call of a chain passes through here several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from localpod.api.access import Access
from localpod.api.admin import AdminApi
from localpod.api.call import ApiError, Call, ServedEndpoint, balancer_health, error_response, json_response
from localpod.api.client import ClientApi, check_method
from localpod.api.fault_injection import FaultInjector, Handler
from localpod.api.proxy import Proxy
from localpod.api.worker import POLL_TIMEOUT_S, WorkerApi
from localpod.faults import WORKER_OPERATIONS, Faults
from localpod.load_balancer import ServedBalancer


class Api:
    """The request handler of the HTTP server."""

    def __init__(
        self,
        served: dict[str, ServedEndpoint],
        balancers: dict[str, ServedBalancer],
        faults: Faults,
        access: Access,
        *,
        proxy: Proxy,
        state: Callable[[], dict[str, Any]],
        poll_timeout_s: float = POLL_TIMEOUT_S,
    ) -> None:
        self._served = served
        self._balancers = balancers
        self._proxy = proxy
        self._access = access
        self._admin = AdminApi(faults, state)
        self._injector = FaultInjector(faults)
        self._operations = ClientApi(faults).operations | WorkerApi(faults, poll_timeout_s).operations

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._access.check_host(request)
            await _answer_expect(request)
            parts = request.path.strip("/").split("/")
            if parts[0] == "v2" and len(parts) >= 3:
                return await self._queue(request, parts)
            if parts[0] == "localpod" and len(parts) >= 2:
                self._access.check_client(request)
                return await self._admin(request, parts[1], parts[2:])
            if parts[0] == "lb" and len(parts) >= 2:
                return await self._load_balancing(request, parts[1])
            return await self._http_api(request)
        except ApiError as error:
            return error_response(error.status, error.message)

    async def _queue(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        _, name, operation, *args = parts
        handler = self._operations.get(operation)
        if handler is None:
            raise ApiError(404, f"no such operation: {operation}")
        if operation in WORKER_OPERATIONS:
            self._access.check_worker(request)
        else:
            self._access.check_client(request)
            check_method(request, operation)
        served = self._served.get(name)
        if served is None and (balancer := self._balancers.get(name)) is not None:
            if operation == "health":
                return json_response(balancer_health(balancer))
            raise ApiError(400, f"{name} is a load-balancing endpoint without a queue: call /lb/{name}/…")
        if served is None:
            raise ApiError(404, f"no such endpoint: {name}; there are {', '.join(self._served)}")
        return await self._limited(Call(request, served, operation, args), handler)

    async def _load_balancing(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        self._access.check_client(request)
        served = self._balancers.get(name)
        if served is None:
            known = ", ".join(self._balancers) or "none"
            raise ApiError(404, f"no such load-balancing endpoint: {name}; there are: {known}")
        path = request.raw_path.removeprefix(f"/lb/{name}")
        return await self._proxy.forward(request, served, path if path[:1] == "/" else f"/{path}", authorization=False)

    async def _http_api(self, request: web.BaseRequest) -> web.StreamResponse:
        """Any other path belongs to the first load-balancing endpoint."""
        served = next(iter(self._balancers.values()), None)
        if served is None:
            raise ApiError(404, "not found: the API is at /v2/{endpoint}/…")
        self._access.check_http(request)
        return await self._proxy.forward(request, served, request.raw_path, authorization=True)

    async def _limited(self, call: Call, handler: Handler) -> web.StreamResponse:
        limiter = call.served.limiters.get(call.operation)
        if limiter is None:
            return await self._injector.run(call, handler)
        if not limiter.acquire(call.served.worker_pool.running):
            raise ApiError(429, "rate limit exceeded; try again later")
        try:
            return await self._injector.run(call, handler)
        finally:
            limiter.release()


async def _answer_expect(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`; without it curl waits a second before it sends a body of a megabyte."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
