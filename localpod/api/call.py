"""One request to a queue endpoint: its path, its body, and the answers common to all operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from localpod import json_codec
from localpod.endpoint import Endpoint
from localpod.jobs import Job
from localpod.limits import BASE_LIMITS, RUN_BYTES, RUNSYNC_BYTES, RateLimiter
from localpod.load_balancer import ServedBalancer
from localpod.slots import WorkerSlot
from localpod.workers import WorkerPool

MAX_DRAIN_BYTES = 256_000_000


class ApiError(Exception):
    """Ends a request with an HTTP status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class ServedEndpoint:
    """A queue endpoint with its workers and rate limiters."""

    endpoint: Endpoint
    worker_pool: WorkerPool
    limiters: dict[str, RateLimiter]


def limiters_for(clock: Callable[[], float], *, enforced: bool) -> dict[str, RateLimiter]:
    return {operation: RateLimiter(limit, clock) for operation, limit in BASE_LIMITS.items()} if enforced else {}


def json_response(value: object, status: int = 200) -> web.Response:
    return web.Response(body=json_codec.dumps(value), status=status, content_type="application/json")


def error_response(status: int, message: str) -> web.Response:
    return json_response({"error": message}, status)


def max_body_bytes(operation: str) -> int:
    return RUNSYNC_BYTES if operation == "runsync" else RUN_BYTES


class Call:
    """A parsed request. `args` are the path segments after the operation; `taken` is what a job-take assigned."""

    __slots__ = ("_body", "args", "operation", "request", "served", "taken")

    def __init__(self, request: web.BaseRequest, served: ServedEndpoint, operation: str, args: list[str]) -> None:
        self.request = request
        self.served = served
        self.operation = operation
        self.args = args
        self._body: bytes | None = None
        self.taken: tuple[WorkerSlot, list[Job]] | None = None

    @property
    def endpoint(self) -> Endpoint:
        return self.served.endpoint

    def job(self, at: int = 0) -> Job:
        """The job that a path segment names. Raises `ApiError` 404."""
        job = self.endpoint.find(self.args[at]) if len(self.args) > at else None
        if job is None:
            raise ApiError(404, "job not found: no such id, or its result has expired")
        return job

    def slot(self) -> WorkerSlot:
        """The slot of the calling worker; an attached endpoint accepts a new one. Raises `ApiError` 404."""
        slot = self.endpoint.slots.get(self.args[0]) if self.args else None
        if slot is None and self.args and self.served.worker_pool.local.attached:
            slot = self.endpoint.add_slot(self.args[0])
        if slot is None:
            raise ApiError(404, "no such worker")
        slot.last_seen = self.endpoint.clock()
        return slot

    async def body(self, limit: int) -> bytes:
        """Read the body.

        Raises `ApiError` 400 above `limit` bytes, after reading the whole body, so that the client gets the answer.
        """
        if self._body is not None:
            return self._body
        chunks, size = [], 0
        async for chunk in self.request.content.iter_any():
            size += len(chunk)
            if size <= limit:
                chunks.append(chunk)
            elif size > MAX_DRAIN_BYTES:
                break
        if size > limit:
            raise ApiError(400, f"exceeded max body size of {limit // 1_000_000} MB")
        self._body = b"".join(chunks)
        return self._body

    def number(self, name: str, default: int) -> int:
        """A whole number from the query string. Raises `ApiError` 400."""
        text = self.request.query.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise ApiError(400, f"{name} must be a whole number")
        return int(text)

    async def task(self) -> str | None:
        """The task of the request's job, for faults that are limited to one."""
        if self.operation in ("run", "runsync"):
            try:
                envelope = json_codec.loads(await self.body(max_body_bytes(self.operation)))
                return str(envelope["input"]["task"])
            except (json_codec.NotJson, KeyError, TypeError):
                return None
        if self.taken is not None:
            return self.taken[1][0].task if self.taken[1] else None
        job = self.endpoint.find(self.args[-1]) if self.args else None
        return job.task if job else None


def balancer_health(served: ServedBalancer) -> dict[str, dict[str, int]]:
    """The body of `/health` of a load-balancing endpoint; its jobs are requests."""
    balancer = served.balancer
    return {
        "jobs": {
            "completed": balancer.counts["COMPLETED"],
            "failed": balancer.counts["FAILED"],
            "inProgress": balancer.in_progress,
            "inQueue": balancer.in_queue,
            "retried": 0,
        },
        "workers": served.worker_pool.health(),
    }


def health_of(served: ServedEndpoint) -> dict[str, dict[str, int]]:
    """The body of `/health`."""
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
        "workers": served.worker_pool.health(),
    }
