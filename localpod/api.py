"""The platform's two faces over HTTP: the endpoint API that clients call and the protocol that workers speak.

    /v2/{endpoint}/run, runsync, status/{id}, stream/{id}, cancel/{id}, retry/{id}, purge-queue, health
    /v2/{endpoint}/job-take/{worker}, job-take-batch/{worker}, job-stop/{worker}, job-done/{worker}/{id},
                   job-stream/{worker}/{id}, ping/{worker}
    /localpod/faults, /localpod/state                       localpod's own

A plain dispatch by path segments, without a router: a chain's every hop passes here several times.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from localpod import json_codec
from localpod.endpoint import Endpoint, PendingTake, WorkerSlot
from localpod.faults import AFTER_KINDS, BEFORE_KINDS, WORKER_OPERATIONS, Fault, FaultKind, Faults
from localpod.jobs import BadEnvelope, Envelope, Job, Outcome
from localpod.limits import BASE_LIMITS, CHUNK_BYTES, RUN_BYTES, RUNSYNC_BYTES, RateLimiter
from localpod.workers import WorkerPool

HOLD_S = 25.0
"""How long a worker's question stays open; the SDK gives up after 90 s."""
WAIT_MS, SHORTEST_WAIT_MS, LONGEST_WAIT_MS = 90_000, 1_000, 300_000
CLOSING_PAUSE_S = 0.2
UNREADABLE = (FaultKind.RESET_AFTER, FaultKind.TRUNCATE, FaultKind.NOT_JSON)
DRAIN_BYTES = 256_000_000


class ApiError(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Served:
    """An endpoint with everything a request to it needs."""

    endpoint: Endpoint
    fleet: WorkerPool
    gates: dict[str, RateLimiter]


def limiters_for(clock: Callable[[], float], *, enforced: bool) -> dict[str, RateLimiter]:
    return {operation: RateLimiter(limit, clock) for operation, limit in BASE_LIMITS.items()} if enforced else {}


def reply(value: object, status: int = 200) -> web.Response:
    return web.Response(body=json_codec.dumps(value), status=status, content_type="application/json")


def refusal(status: int, message: str) -> web.Response:
    return reply({"error": message}, status)


class Call:
    """One request: its endpoint, its operation, what the path names after it, and its body once read."""

    __slots__ = ("_body", "names", "operation", "request", "served", "take")

    def __init__(self, request: web.BaseRequest, served: Served, operation: str, names: list[str]) -> None:
        self.request = request
        self.served = served
        self.operation = operation
        self.names = names
        self._body: bytes | None = None
        self.take: tuple[WorkerSlot, list[Job]] | None = None

    @property
    def endpoint(self) -> Endpoint:
        return self.served.endpoint

    def job(self, at: int = 0) -> Job:
        job = self.endpoint.find(self.names[at]) if len(self.names) > at else None
        if job is None:
            raise ApiError(404, "job not found: it never was, or its result has expired")
        return job

    def seat(self) -> WorkerSlot:
        seat = self.endpoint.seats.get(self.names[0]) if self.names else None
        if seat is None and self.names and self.served.fleet.local.attached:
            seat = self.endpoint.seat(self.names[0])
        if seat is None:
            raise ApiError(404, "no such worker")
        seat.last_seen = self.endpoint.clock()
        return seat

    async def body(self, limit: int) -> bytes:
        """Raises `ApiError` 400 for more than `limit` bytes, after reading them: a reset would hide the answer."""
        if self._body is not None:
            return self._body
        chunks, size = [], 0
        async for chunk in self.request.content.iter_any():
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
            elif size > DRAIN_BYTES:
                break
        if size > limit:
            raise ApiError(400, f"exceeded max body size of {limit // 1_000_000} MB")
        self._body = b"".join(chunks)
        return self._body

    async def task(self) -> str | None:
        """The task of the job this is about, for faults that are kept to one."""
        if self.operation in ("run", "runsync"):
            try:
                envelope = json_codec.loads(await self.body(_body_limit(self.operation)))
                return str(envelope["input"]["task"])
            except (json_codec.NotJson, KeyError, TypeError):
                return None
        if self.take is not None:
            return self.take[1][0].task if self.take[1] else None
        job = self.endpoint.find(self.names[-1]) if self.names else None
        return job.task if job else None


def _body_limit(operation: str) -> int:
    return RUNSYNC_BYTES if operation == "runsync" else RUN_BYTES


class Api:
    """`key` None takes any key, but not none at all, as the platform does."""

    def __init__(
        self,
        served: dict[str, Served],
        faults: Faults,
        *,
        key: str | None,
        state: Callable[[], dict[str, Any]],
        hold_s: float = HOLD_S,
    ) -> None:
        self._served = served
        self._faults = faults
        self._key = key
        self._state = state
        self._hold_s = hold_s
        self._operations: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "run": self._run,
            "runsync": self._runsync,
            "status": self._status,
            "stream": self._stream,
            "cancel": self._cancel,
            "retry": self._retry,
            "purge-queue": self._purge,
            "health": self._health,
            "job-take": self._job_take,
            "job-take-batch": self._job_take_batch,
            "job-stop": self._job_stop,
            "job-done": self._job_done,
            "job-stream": self._job_stream,
            "ping": self._ping,
        }

    # ── dispatch ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            parts = request.path.strip("/").split("/")
            if parts[0] == "v2" and len(parts) >= 3:
                return await self._platform(request, parts)
            if parts[0] == "localpod" and len(parts) >= 2:
                self._check_key(request)
                return await self._own(request, parts[1], parts[2:])
            return refusal(404, "not found: the API is at /v2/{endpoint}/…")
        except ApiError as answer:
            return refusal(answer.status, answer.message)

    async def _platform(self, request: web.BaseRequest, parts: list[str]) -> web.StreamResponse:
        served, operation = self._served.get(parts[1]), parts[2]
        serve = self._operations.get(operation)
        if serve is None:
            raise ApiError(404, f"no such operation: {operation}")
        if operation not in WORKER_OPERATIONS:
            self._check_key(request)
            _check_method(request, operation)
        if served is None:
            raise ApiError(404, f"no such endpoint: {parts[1]}; there are {', '.join(self._served)}")
        call = Call(request, served, operation, parts[3:])
        gate = served.gates.get(operation)
        if gate is None:
            return await self._through_faults(call, serve)
        if not gate.enter(served.fleet.running):
            raise ApiError(429, "rate limit exceeded; try again later")
        try:
            return await self._through_faults(call, serve)
        finally:
            gate.leave()

    def _check_key(self, request: web.BaseRequest) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        wrong = self._key is not None and not hmac.compare_digest(given.encode(), self._key.encode())
        if not given or wrong:
            raise ApiError(401, "unauthorized: send the API key as `Authorization: Bearer …`")

    # ── the client's operations ──────────────────────────────────────────────────────────────────────────────────────

    async def _submit(self, call: Call, *, sync: bool) -> Job:
        try:
            body = json_codec.loads(await call.body(_body_limit(call.operation)))
            return call.endpoint.submit(Envelope.read(body), sync=sync)
        except json_codec.NotJson:
            raise ApiError(400, "the request body is not JSON") from None
        except BadEnvelope as error:
            raise ApiError(400, str(error)) from None

    async def _run(self, call: Call) -> web.StreamResponse:
        job = await self._submit(call, sync=False)
        return reply({"id": job.id, "status": "IN_QUEUE"})

    async def _runsync(self, call: Call) -> web.StreamResponse:
        wait_ms = _number(call, "wait", WAIT_MS)
        if not SHORTEST_WAIT_MS <= wait_ms <= LONGEST_WAIT_MS:
            raise ApiError(400, f"wait must be {SHORTEST_WAIT_MS} to {LONGEST_WAIT_MS} ms")
        job = await self._submit(call, sync=True)
        ended = asyncio.Event()
        job.watchers.append(ended.set)
        if not job.state.final:
            await _within(wait_ms / 1000, ended)
        return self._answer(call, job)

    def _answer(self, call: Call, job: Job) -> web.Response:
        skew_ms = 0
        if self._faults.any:
            skew = self._faults.pick((FaultKind.CLOCK_SKEW,), call.endpoint.name, call.operation, job.task)
            skew_ms = round(skew.delay_s * 1000) if skew else 0
        return reply(job.for_client(skew_ms))

    async def _status(self, call: Call) -> web.StreamResponse:
        job = call.job()
        if (ttl_ms := _number(call, "ttl", 0)) > 0:
            call.endpoint.set_result_ttl(job, ttl_ms / 1000)
        return self._answer(call, job)

    async def _stream(self, call: Call) -> web.StreamResponse:
        job = call.job()
        chunks = [{"output": chunk} for chunk in call.endpoint.read_stream(job)]
        return reply({**job.for_client(), "stream": chunks})

    async def _cancel(self, call: Call) -> web.StreamResponse:
        job = call.job()
        call.endpoint.cancel(job)
        return reply({"id": job.id, "status": job.state.value})

    async def _retry(self, call: Call) -> web.StreamResponse:
        job = call.job()
        if not call.endpoint.retry(job):
            raise ApiError(400, f"only a FAILED or TIMED_OUT job can be retried; this one is {job.state.value}")
        return reply({"id": job.id, "status": "IN_QUEUE"})

    async def _purge(self, call: Call) -> web.StreamResponse:
        return reply({"removed": call.endpoint.purge(), "status": "completed"})

    async def _health(self, call: Call) -> web.StreamResponse:
        return reply(health_of(call.served))

    # ── the worker's operations ──────────────────────────────────────────────────────────────────────────────────────

    async def _job_take(self, call: Call) -> web.StreamResponse:
        jobs = await self._take(call, 1)
        return await self._hand_over(call, jobs, jobs[0].for_worker() if jobs else None)

    async def _job_take_batch(self, call: Call) -> web.StreamResponse:
        jobs = await self._take(call, max(1, _number(call, "batch_size", 1)))
        return await self._hand_over(call, jobs, [job.for_worker() for job in jobs])

    async def _take(self, call: Call, limit: int) -> list[Job]:
        seat, endpoint = call.seat(), call.endpoint
        if not seat.ready:
            call.served.fleet.became_ready(seat)
        if seat.closing:
            await asyncio.sleep(CLOSING_PAUSE_S)
            return []
        seat.asking += 1
        try:
            jobs = endpoint.take(seat, limit) or await self._wait_for_jobs(endpoint, seat, limit)
        finally:
            seat.asking -= 1
            seat.asked_at = seat.last_seen = endpoint.clock()
        call.take = (seat, jobs)
        return jobs

    async def _wait_for_jobs(self, endpoint: Endpoint, seat: WorkerSlot, limit: int) -> list[Job]:
        handed: asyncio.Future[list[Job]] = asyncio.get_running_loop().create_future()
        taker = PendingTake(seat, limit, handed.set_result)
        endpoint.wait(taker)
        try:
            await asyncio.wait((handed,), timeout=self._hold_s)
        except asyncio.CancelledError:
            if handed.done():
                endpoint.give_back(seat, handed.result())
            raise
        finally:
            endpoint.unwait(taker)
        return handed.result() if handed.done() else []

    async def _hand_over(self, call: Call, jobs: list[Job], body: object) -> web.StreamResponse:
        if not jobs:
            return web.Response(status=204)
        if self._faults.any:
            for job in jobs:
                self._meet_job(call, job)
        return reply(body)

    def _meet_job(self, call: Call, job: Job) -> None:
        """Faults that wait for a job at the moment it is handed out."""
        name, loop = call.endpoint.name, asyncio.get_running_loop()
        if self._faults.pick((FaultKind.DUPLICATE_DELIVERY,), name, task=job.task):
            loop.call_soon(call.endpoint.duplicate, job)
        if (fault := self._faults.pick((FaultKind.KILL_WORKER,), name, task=job.task)) is not None:
            worker = call.served.fleet.workers.get(call.names[0])
            if worker is not None:
                loop.call_later(fault.delay_s, worker.kill, "was killed by a fault")

    async def _job_stop(self, call: Call) -> web.StreamResponse:
        seat = call.seat()
        if not seat.stops and not seat.closing:
            pushed = asyncio.Event()
            seat.on_stop = pushed.set
            await _within(self._hold_s, pushed)
        if not seat.stops:
            await asyncio.sleep(CLOSING_PAUSE_S if seat.closing else 0)
            return web.Response(status=204)
        stops, seat.stops = seat.stops, []
        return reply({"jobsToStop": stops})

    async def _job_done(self, call: Call) -> web.StreamResponse:
        seat_id, job = call.names[0], call.job(1)
        if (seat := call.endpoint.seats.get(seat_id)) is not None:
            seat.last_seen = call.endpoint.clock()
        try:
            body = json_codec.loads(await call.body(RUNSYNC_BYTES if job.sync else RUN_BYTES))
        except ApiError:
            # What the platform does with too large a result: 400 to the worker, and a completed job without output.
            call.endpoint.finish(job, seat_id, Outcome())
            raise
        except json_codec.NotJson:
            call.endpoint.finish(job, seat_id, Outcome(error="the worker's result was not JSON"))
            raise ApiError(400, "the result is not JSON") from None
        if isinstance(body, dict) and body.get("status") == "IN_PROGRESS":
            call.endpoint.progress(job, seat_id, body.get("output"))
            return reply({"status": "ok"})
        self._apply(call, job, seat_id, Outcome.read(body))
        if isinstance(body, dict) and body.get("stopPod"):
            call.served.fleet.retire_id(seat_id)
        return reply({"status": "ok"})

    def _apply(self, call: Call, job: Job, seat_id: str, outcome: Outcome) -> None:
        endpoint = call.endpoint
        if self._faults.any:
            if self._faults.pick((FaultKind.LOSE_RESULT,), endpoint.name, task=job.task):
                return
            late = self._faults.pick((FaultKind.LATE_RESULT,), endpoint.name, task=job.task)
            if late is not None:
                asyncio.get_running_loop().call_later(late.delay_s, endpoint.finish, job, seat_id, outcome)
                return
        endpoint.finish(job, seat_id, outcome)

    async def _job_stream(self, call: Call) -> web.StreamResponse:
        job = call.job(1)
        try:
            chunk = json_codec.loads(await call.body(CHUNK_BYTES))
        except json_codec.NotJson:
            raise ApiError(400, "the chunk is not JSON") from None
        call.endpoint.stream(job, call.names[0], chunk.get("output") if isinstance(chunk, dict) else None)
        return reply({"status": "ok"})

    async def _ping(self, call: Call) -> web.StreamResponse:
        seat = call.seat()
        seat.pinged = True
        for job_id in call.request.query.get("job_id", "").split(","):
            if job_id:
                call.endpoint.heard_of(seat, job_id)
        return web.Response(status=200)

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _through_faults(
        self, call: Call, serve: Callable[[Call], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if (early := await self._fault(call, BEFORE_KINDS)) is not None:
            return _before(call.request, early)
        answer = await self._serve(call, serve)
        try:
            # An answer without a body, such as "no job yet", has nothing to spoil: the fault waits for the next.
            spoiled = await self._fault(call, AFTER_KINDS) if answer.status != 204 else None
            if spoiled is None:
                return await self._deliver(call, answer)
            if spoiled.kind in UNREADABLE:
                self._take_back(call)
            return await _spoil(call.request, answer, spoiled)
        except (ConnectionError, asyncio.CancelledError):
            self._take_back(call)
            raise

    async def _fault(self, call: Call, kinds: tuple[FaultKind, ...]) -> Fault | None:
        if not self._faults.any:
            return None
        return self._faults.pick(kinds, call.endpoint.name, call.operation, await call.task())

    def _take_back(self, call: Call) -> None:
        if call.take is not None:
            call.endpoint.give_back(*call.take)

    async def _serve(self, call: Call, serve: Callable[[Call], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        try:
            return await serve(call)
        except ApiError as answer:
            return refusal(answer.status, answer.message)

    async def _deliver(self, call: Call, answer: web.StreamResponse) -> web.StreamResponse:
        """Writes a hand-over out at once, and takes the jobs back if nobody is there any more."""
        if call.take is not None:
            await answer.prepare(call.request)
            await answer.write_eof()
            if call.request.transport is None or call.request.transport.is_closing():
                self._take_back(call)
        return answer

    # ── localpod's own resources ─────────────────────────────────────────────────────────────────────────────────────

    async def _own(self, request: web.BaseRequest, name: str, rest: list[str]) -> web.Response:
        if name == "state" and request.method == "GET":
            return reply(self._state())
        if name != "faults":
            raise ApiError(404, "not found: localpod has /localpod/faults and /localpod/state")
        if request.method == "POST":
            return reply({"id": self._faults.add(await _read_fault(request))}, 201)
        if request.method == "DELETE":
            self._faults.clear(int(rest[0]) if rest and rest[0].isdigit() else None)
        return reply({"faults": self._faults.report()})


def health_of(served: Served) -> dict[str, dict[str, int]]:
    endpoint = served.endpoint
    counts = endpoint.counts
    return {
        "jobs": {
            "completed": counts["COMPLETED"],
            "failed": counts["FAILED"] + counts["TIMED_OUT"],
            "inProgress": endpoint.in_progress,
            "inQueue": endpoint.in_queue,
            "retried": counts["retried"] + counts["requeued"],
        },
        "workers": served.fleet.health(),
    }


async def _read_fault(request: web.BaseRequest) -> Fault:
    try:
        return Fault.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ApiError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _check_method(request: web.BaseRequest, operation: str) -> None:
    allowed = {"status": ("GET", "POST"), "stream": ("GET", "POST"), "health": ("GET",)}.get(operation, ("POST",))
    if request.method not in allowed:
        raise ApiError(405, f"{operation} wants {' or '.join(allowed)}")


def _number(call: Call, name: str, default: int) -> int:
    text = call.request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise ApiError(400, f"{name} must be a whole number")
    return int(text)


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _before(request: web.BaseRequest, fault: Fault) -> web.Response:
    if fault.kind is FaultKind.RESET_BEFORE:
        return _reset(request)
    if fault.kind is FaultKind.SERVER_ERROR:
        return refusal(fault.status, "internal error (fault)")
    refused = refusal(429, "rate limit exceeded (fault)")
    if fault.retry_after_s is not None:
        refused.headers["Retry-After"] = f"{fault.retry_after_s:g}"
    return refused


def _reset(request: web.BaseRequest) -> web.Response:
    """A TCP RST, so that the other side sees a reset and not an orderly end."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


async def _spoil(request: web.BaseRequest, answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
    body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
    if fault.kind is FaultKind.RESET_AFTER:
        return _reset(request)
    if fault.kind is FaultKind.STALL:
        await asyncio.sleep(fault.delay_s)
        return answer
    if fault.kind is FaultKind.NOT_JSON:
        return web.Response(body=b"<html><body>Bad gateway</body></html>", content_type="text/html")
    return await _in_pieces(request, answer.status, body, fault)


async def _in_pieces(request: web.BaseRequest, status: int, body: bytes, fault: Fault) -> web.StreamResponse:
    """The body over `delay_s`, or only its first half before the connection ends."""
    whole = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    whole.content_length = len(body)
    await whole.prepare(request)
    if fault.kind is FaultKind.TRUNCATE:
        await whole.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return whole
    pieces = 10
    step = -(-len(body) // pieces)
    for start in range(0, len(body), max(step, 1)):
        await asyncio.sleep(fault.delay_s / pieces)
        await whole.write(body[start : start + step])
    await whole.write_eof()
    return whole
