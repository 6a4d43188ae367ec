"""The state of one load-balancing endpoint: its workers, the requests in flight and those that wait for a worker.

There is no queue: a waiting request is an open connection, and nothing is retried. Sources: RunPod's load-balancing
overview and worker-affinity pages (July 2026). `WorkerPool` scales and replaces the workers, as for a queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from localpod.slots import WorkerSlot
from localpod.workers import WorkerPool

NO_WORKER_TIMEOUT_S = 120.0
REQUEST_TIMEOUT_S = 330.0
MAX_BODY_BYTES = 30_000_000
"""Largest body of a request and of an answer."""


class NoWorker(Exception):
    """No worker became healthy in time; the message is the client's answer (HTTP 400)."""


class AffinityWorkerGone(Exception):
    """The worker that a strict affinity header names doesn't exist (HTTP 404)."""


@dataclass(frozen=True, slots=True)
class Affinity:
    """The `X-Runpod-Worker-Id` of a request: a preferred worker, or with `strict` the only one."""

    worker_id: str = ""
    strict: bool = False

    @classmethod
    def parse(cls, header: str) -> Self:
        mode, _, worker_id = header.strip().rpartition(" ")
        return cls(worker_id, strict=mode.strip() in ("strict", "strict-resume"))


class LoadBalancer:
    """Chooses the worker of each request: the named one, or the ready one with the fewest requests in flight."""

    def __init__(
        self, name: str, *, clock: Callable[[], float], no_worker_timeout_s: float = NO_WORKER_TIMEOUT_S
    ) -> None:
        self.name = name
        self.clock = clock
        self.slots: dict[str, WorkerSlot] = {}
        self.counts: Counter[str] = Counter()
        self.in_queue_low = 0
        self.in_progress = 0
        self.on_change: Callable[[], None] = lambda: None
        self._no_worker_timeout_s = no_worker_timeout_s
        self._waiting: dict[object, float] = {}
        self._changed = asyncio.Event()
        self._failures = 0
        self._failure = ""

    @property
    def in_queue(self) -> int:
        """Requests that wait for a worker."""
        return len(self._waiting)

    async def acquire(self, affinity: Affinity) -> WorkerSlot:
        """Wait for a worker and count a request on it. Raises `NoWorker` or `AffinityWorkerGone`."""
        self.counts["submitted"] += 1
        slot = self._match(affinity) or await self._wait(affinity)
        slot.requests += 1
        slot.taken += 1
        self.in_progress += 1
        self.on_change()
        return slot

    def release(self, slot: WorkerSlot, *, completed: bool) -> None:
        slot.requests -= 1
        self.in_progress -= 1
        self.counts["COMPLETED" if completed else "FAILED"] += 1
        if not slot.requests:
            slot.idle_since = self.clock()
        self.on_change()

    async def _wait(self, affinity: Affinity) -> WorkerSlot:
        request = object()
        self._waiting[request] = self.clock()
        failures = self._failures
        self.on_change()
        try:
            async with asyncio.timeout(self._no_worker_timeout_s):
                while (slot := self._match(affinity)) is None:
                    await self._changed.wait()
                    if self._failures != failures:
                        raise NoWorker(f"no workers available: {self._failure}")
                return slot
        except TimeoutError:
            raise NoWorker("no workers available") from None
        finally:
            del self._waiting[request]
            self.on_change()

    def _match(self, affinity: Affinity) -> WorkerSlot | None:
        """A worker for the request now; None to wait. Raises `AffinityWorkerGone`."""
        named = self.slots.get(affinity.worker_id)
        if affinity.strict:
            if named is None or named.closing:
                raise AffinityWorkerGone(affinity.worker_id)
            return named if named.ready else None
        ready = [slot for slot in self.slots.values() if slot.ready and not slot.closing]
        if named in ready:
            return named
        return min(ready, key=lambda slot: slot.requests, default=None)

    def notify(self) -> None:
        """Wake the waiting requests, so that they check for a worker again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def add_slot(self, worker_id: str) -> WorkerSlot:
        now = self.clock()
        slot = self.slots[worker_id] = WorkerSlot(worker_id, idle_since=now, last_seen=now)
        return slot

    def close(self, slot: WorkerSlot) -> None:
        slot.closing = True
        self.notify()

    def answer_open_takes(self, slot: WorkerSlot) -> None:
        """Do nothing: workers of a load balancer have no long polls."""

    def remove_worker(self, slot: WorkerSlot, reason: str) -> None:  # noqa: ARG002  # its connections end by themselves
        self.slots.pop(slot.worker_id, None)
        self.close(slot)
        self.on_change()

    def fail_queued(self, reason: str) -> None:
        self._failure = reason
        self._failures += 1
        self.notify()

    def oldest_wait_s(self) -> float | None:
        return self.clock() - next(iter(self._waiting.values())) if self._waiting else None


@dataclass(slots=True)
class ServedBalancer:
    """A load-balancing endpoint with its workers."""

    balancer: LoadBalancer
    worker_pool: WorkerPool
