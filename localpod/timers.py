"""Deadlines of an endpoint's jobs, in one heap. Pure: the caller passes the time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Container, Iterator
from enum import Enum, auto

from localpod.jobs import Job


class TimerKind(Enum):
    TTL = auto()
    EXECUTION = auto()
    RETENTION = auto()


class Timers:
    """`on_earlier` is called with a deadline that has become the earliest."""

    def __init__(self) -> None:
        self.on_earlier: Callable[[float], None] = lambda _: None
        self._heap: list[tuple[float, int, TimerKind, Job, int]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def add(self, deadline: float, kind: TimerKind, job: Job) -> None:
        timer = (deadline, next(self._order), kind, job, job.attempts)
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer:
            self.on_earlier(deadline)

    def pop_due(self, now: float) -> Iterator[tuple[TimerKind, Job, int]]:
        """Each expired timer: its kind, its job, and the job's attempt when it was set."""
        while self._heap and self._heap[0][0] <= now:
            _, _, kind, job, attempt = heapq.heappop(self._heap)
            yield kind, job, attempt

    def compact(self, job_ids: Container[str]) -> None:
        """Drop the timers of jobs that no longer exist."""
        self._heap = [timer for timer in self._heap if timer[3].id in job_ids]
        heapq.heapify(self._heap)
