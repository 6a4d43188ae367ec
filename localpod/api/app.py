"""Dispatch of every request by its path segments.

    /v2/{endpoint}/run, runsync, status/{id}, stream/{id}, cancel/{id}, retry/{id}, purge-queue, health
    /v2/{endpoint}/job-take/{worker}, job-take-batch/{worker}, job-stop/{worker}, job-done/{worker}/{id},
                   job-stream/{worker}/{id}, ping/{worker}
    /localpod/faults, /localpod/state

There is no router: each call of a chain passes through here several times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from localpod.api.access import Access
from localpod.api.admin import AdminApi
from localpod.api.call import ApiError, Call, ServedEndpoint, error_response
from localpod.api.client import ClientApi, check_method
from localpod.api.fault_injection import FaultInjector, Handler
from localpod.api.worker import POLL_TIMEOUT_S, WorkerApi
from localpod.faults import WORKER_OPERATIONS, Faults


class Api:
    """The request handler of the HTTP server."""

    def __init__(
        self,
        served: dict[str, ServedEndpoint],
        faults: Faults,
        access: Access,
        *,
        state: Callable[[], dict[str, Any]],
        poll_timeout_s: float = POLL_TIMEOUT_S,
    ) -> None:
        self._served = served
        self._access = access
        self._admin = AdminApi(faults, state)
        self._injector = FaultInjector(faults)
        self._operations = ClientApi(faults).operations | WorkerApi(faults, poll_timeout_s).operations

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            self._access.check_host(request)
            parts = request.path.strip("/").split("/")
            if parts[0] == "v2" and len(parts) >= 3:
                return await self._queue(request, parts)
            if parts[0] == "localpod" and len(parts) >= 2:
                self._access.check_client(request)
                return await self._admin(request, parts[1], parts[2:])
            return error_response(404, "not found: the API is at /v2/{endpoint}/…")
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
        if served is None:
            raise ApiError(404, f"no such endpoint: {name}; there are {', '.join(self._served)}")
        return await self._limited(Call(request, served, operation, args), handler)

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
