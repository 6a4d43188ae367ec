"""The worker protocol: job-take, job-take-batch, job-stop, job-done, job-stream and ping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from localpod import json_codec
from localpod.api.call import ApiError, Call, json_response
from localpod.api.client import wait_at_most
from localpod.endpoint import Endpoint
from localpod.faults import FaultKind, Faults
from localpod.jobs import Job, Outcome
from localpod.limits import CHUNK_BYTES, RUN_BYTES, RUNSYNC_BYTES
from localpod.slots import PendingTake, WorkerSlot

POLL_TIMEOUT_S = 25.0
"""Duration of a worker's long poll; the SDK's time limit is 90 s."""
CLOSING_PAUSE_S = 0.2
MAX_PING_JOBS = 1000
"""Job ids read from one heartbeat; the SDK puts all of them into its URL."""


class WorkerApi:
    def __init__(self, faults: Faults, poll_timeout_s: float) -> None:
        self._faults = faults
        self._poll_timeout_s = poll_timeout_s
        self.operations: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "job-take": self._job_take,
            "job-take-batch": self._job_take_batch,
            "job-stop": self._job_stop,
            "job-done": self._job_done,
            "job-stream": self._job_stream,
            "ping": self._ping,
        }

    async def _job_take(self, call: Call) -> web.StreamResponse:
        jobs = await self._take(call, 1)
        return self._jobs_response(call, jobs, jobs[0].for_worker() if jobs else None)

    async def _job_take_batch(self, call: Call) -> web.StreamResponse:
        jobs = await self._take(call, max(1, call.number("batch_size", 1)))
        return self._jobs_response(call, jobs, [job.for_worker() for job in jobs])

    async def _take(self, call: Call, limit: int) -> list[Job]:
        slot, endpoint = call.slot(), call.endpoint
        if not slot.ready:
            call.served.worker_pool.became_ready(slot)
        if slot.closing:
            await asyncio.sleep(CLOSING_PAUSE_S)
            return []
        slot.open_polls += 1
        try:
            jobs = endpoint.take(slot, limit) or await self._wait_for_jobs(endpoint, slot, limit)
        finally:
            slot.open_polls -= 1
            slot.last_poll_at = slot.last_seen = endpoint.clock()
        call.taken = (slot, jobs)
        return jobs

    async def _wait_for_jobs(self, endpoint: Endpoint, slot: WorkerSlot, limit: int) -> list[Job]:
        assigned: asyncio.Future[list[Job]] = asyncio.get_running_loop().create_future()
        take = PendingTake(slot, limit, assigned.set_result)
        endpoint.add_take(take)
        try:
            await asyncio.wait((assigned,), timeout=self._poll_timeout_s)
        except asyncio.CancelledError:
            if assigned.done():
                endpoint.return_jobs(slot, assigned.result())
            raise
        finally:
            endpoint.remove_take(take)
        return assigned.result() if assigned.done() else []

    def _jobs_response(self, call: Call, jobs: list[Job], body: object) -> web.StreamResponse:
        if not jobs:
            return web.Response(status=204)
        if self._faults.any:
            for job in jobs:
                self._inject_job_faults(call, job)
        return json_response(body)

    def _inject_job_faults(self, call: Call, job: Job) -> None:
        """Apply the faults that occur when a job is delivered to a worker."""
        name, loop = call.endpoint.name, asyncio.get_running_loop()
        if self._faults.pick((FaultKind.DUPLICATE_DELIVERY,), name, task=job.task):
            loop.call_soon(call.endpoint.duplicate, job)
        if (fault := self._faults.pick((FaultKind.KILL_WORKER,), name, task=job.task)) is not None:
            worker = call.served.worker_pool.workers.get(call.args[0])
            if worker is not None:
                loop.call_later(fault.delay_s, worker.kill, "was killed by a fault")

    async def _job_stop(self, call: Call) -> web.StreamResponse:
        slot = call.slot()
        if not slot.stops and not slot.closing:
            pushed = asyncio.Event()
            slot.on_stop = pushed.set
            await wait_at_most(self._poll_timeout_s, pushed)
        if not slot.stops:
            await asyncio.sleep(CLOSING_PAUSE_S if slot.closing else 0)
            return web.Response(status=204)
        stops, slot.stops = slot.stops, []
        return json_response({"jobsToStop": stops})

    async def _job_done(self, call: Call) -> web.StreamResponse:
        job = call.job(1)
        worker_id = call.args[0]
        if (slot := call.endpoint.slots.get(worker_id)) is not None:
            slot.last_seen = call.endpoint.clock()
        body = await self._result(call, job, worker_id)
        if isinstance(body, dict) and body.get("status") == "IN_PROGRESS":
            call.endpoint.progress(job, worker_id, body.get("output"))
            return json_response({"status": "ok"})
        self._finish(call, job, worker_id, Outcome.read(body))
        if isinstance(body, dict) and body.get("stopPod"):
            call.served.worker_pool.retire_id(worker_id)
        return json_response({"status": "ok"})

    async def _result(self, call: Call, job: Job, worker_id: str) -> object:
        """The posted result. Raises `ApiError`, after ending the job as the platform does."""
        try:
            return json_codec.loads(await call.body(RUNSYNC_BYTES if job.sync else RUN_BYTES))
        except ApiError:
            # RunPod answers too large a result with 400, and the job is COMPLETED without an output.
            call.endpoint.finish(job, worker_id, Outcome())
            raise
        except json_codec.NotJson:
            call.endpoint.finish(job, worker_id, Outcome(error="the worker's result was not JSON"))
            raise ApiError(400, "the result is not JSON") from None

    def _finish(self, call: Call, job: Job, worker_id: str, outcome: Outcome) -> None:
        endpoint = call.endpoint
        if self._faults.any:
            if self._faults.pick((FaultKind.LOSE_RESULT,), endpoint.name, task=job.task):
                return
            late = self._faults.pick((FaultKind.LATE_RESULT,), endpoint.name, task=job.task)
            if late is not None:
                asyncio.get_running_loop().call_later(late.delay_s, endpoint.finish, job, worker_id, outcome)
                return
        endpoint.finish(job, worker_id, outcome)

    async def _job_stream(self, call: Call) -> web.StreamResponse:
        job = call.job(1)
        try:
            chunk = json_codec.loads(await call.body(CHUNK_BYTES))
        except json_codec.NotJson:
            raise ApiError(400, "the chunk is not JSON") from None
        call.endpoint.stream(job, call.args[0], chunk.get("output") if isinstance(chunk, dict) else None)
        return json_response({"status": "ok"})

    async def _ping(self, call: Call) -> web.StreamResponse:
        slot = call.slot()
        slot.pinged = True
        for job_id in call.request.query.get("job_id", "").split(",", MAX_PING_JOBS)[:MAX_PING_JOBS]:
            if job_id:
                call.endpoint.report_running(slot, job_id)
        return web.Response(status=200)
