"""The operations that clients call: run, runsync, status, stream, cancel, retry, purge-queue and health."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from localpod import json_codec
from localpod.api.call import ApiError, Call, health_of, json_response, max_body_bytes
from localpod.faults import FaultKind, Faults
from localpod.jobs import BadEnvelope, Envelope, Job

DEFAULT_WAIT_MS, MIN_WAIT_MS, MAX_WAIT_MS = 90_000, 1_000, 300_000
_METHODS = {"status": ("GET", "POST"), "stream": ("GET", "POST"), "health": ("GET",)}


class ClientApi:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.operations: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "run": self._run,
            "runsync": self._runsync,
            "status": self._status,
            "stream": self._stream,
            "cancel": self._cancel,
            "retry": self._retry,
            "purge-queue": self._purge,
            "health": self._health,
        }

    async def _submit(self, call: Call, *, sync: bool) -> Job:
        try:
            body = json_codec.loads(await call.body(max_body_bytes(call.operation)))
            return call.endpoint.submit(Envelope.read(body), sync=sync)
        except json_codec.NotJson:
            raise ApiError(400, "the request body is not JSON") from None
        except BadEnvelope as error:
            raise ApiError(400, str(error)) from None

    async def _run(self, call: Call) -> web.StreamResponse:
        job = await self._submit(call, sync=False)
        return json_response({"id": job.id, "status": "IN_QUEUE"})

    async def _runsync(self, call: Call) -> web.StreamResponse:
        wait_ms = call.number("wait", DEFAULT_WAIT_MS)
        if not MIN_WAIT_MS <= wait_ms <= MAX_WAIT_MS:
            raise ApiError(400, f"wait must be {MIN_WAIT_MS} to {MAX_WAIT_MS} ms")
        job = await self._submit(call, sync=True)
        ended = asyncio.Event()
        job.watchers.append(ended.set)
        if not job.state.final:
            await wait_at_most(wait_ms / 1000, ended)
        return self._job_response(call, job)

    def _job_response(self, call: Call, job: Job) -> web.Response:
        skew_ms = 0
        if self._faults.any:
            skew = self._faults.pick((FaultKind.CLOCK_SKEW,), call.endpoint.name, call.operation, job.task)
            skew_ms = round(skew.delay_s * 1000) if skew else 0
        return json_response(job.for_client(skew_ms))

    async def _status(self, call: Call) -> web.StreamResponse:
        job = call.job()
        if (ttl_ms := call.number("ttl", 0)) > 0:
            call.endpoint.set_result_ttl(job, ttl_ms / 1000)
        return self._job_response(call, job)

    async def _stream(self, call: Call) -> web.StreamResponse:
        job = call.job()
        chunks = [{"output": chunk} for chunk in call.endpoint.read_stream(job)]
        return json_response({**job.for_client(), "stream": chunks})

    async def _cancel(self, call: Call) -> web.StreamResponse:
        job = call.job()
        call.endpoint.cancel(job)
        return json_response({"id": job.id, "status": job.state.value})

    async def _retry(self, call: Call) -> web.StreamResponse:
        job = call.job()
        if not call.endpoint.retry(job):
            raise ApiError(400, f"only a FAILED or TIMED_OUT job can be retried; this one is {job.state.value}")
        return json_response({"id": job.id, "status": "IN_QUEUE"})

    async def _purge(self, call: Call) -> web.StreamResponse:
        return json_response({"removed": call.endpoint.purge(), "status": "completed"})

    async def _health(self, call: Call) -> web.StreamResponse:
        return json_response(health_of(call.served))


def check_method(request: web.BaseRequest, operation: str) -> None:
    """Check the method of an operation. Raises `ApiError` 405."""
    allowed = _METHODS.get(operation, ("POST",))
    if request.method not in allowed:
        raise ApiError(405, f"{operation} takes {' or '.join(allowed)}")


async def wait_at_most(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
