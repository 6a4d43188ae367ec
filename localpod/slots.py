"""State of workers for a queue or a load balancer, and their open requests for jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from localpod.jobs import Job


@dataclass(eq=False, slots=True)
class WorkerSlot:
    """One worker's state. `ready` begins with its first request for a job, or its first healthy `/ping`.

    `jobs` are in progress on a queue's worker, `requests` counts those in flight on a load balancer's.
    """

    worker_id: str
    idle_since: float
    last_seen: float
    ready: bool = False
    closing: bool = False
    pinged: bool = False
    taken: int = 0
    open_polls: int = 0
    last_poll_at: float = 0.0
    requests: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    on_stop: Callable[[], None] | None = None
    held_takes: list[PendingTake] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self.jobs or self.requests)

    def push_stop(self, job_id: str) -> None:
        self.stops.append(job_id)
        self.wake_stop()

    def wake_stop(self) -> None:
        if self.on_stop is not None:
            self.on_stop()


@dataclass(eq=False, slots=True)
class PendingTake:
    """A worker's open long poll for jobs. `resolve` is called once, with at most `limit` jobs or none."""

    slot: WorkerSlot
    limit: int
    resolve: Callable[[list[Job]], None]
