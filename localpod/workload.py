"""Interface between a worker pool and its endpoint: a queue's `Endpoint` or a `LoadBalancer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from localpod.slots import WorkerSlot


class Workload(Protocol):
    """The load and the worker slots of an endpoint."""

    name: str
    clock: Callable[[], float]
    slots: dict[str, WorkerSlot]
    in_queue_low: int
    in_progress: int

    @property
    def in_queue(self) -> int:
        """Jobs in the queue, or requests that wait for a worker."""

    def oldest_wait_s(self) -> float | None: ...

    def add_slot(self, worker_id: str) -> WorkerSlot: ...

    def close(self, slot: WorkerSlot) -> None: ...

    def answer_open_takes(self, slot: WorkerSlot) -> None: ...

    def remove_worker(self, slot: WorkerSlot, reason: str) -> None: ...

    def fail_queued(self, reason: str) -> None: ...
