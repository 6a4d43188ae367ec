"""Limits of the platform: bytes per body, requests per ten seconds, concurrent requests.

Figures: RunPod's operation reference, August 2026. Its "MB" is read as 10⁶ bytes, the stricter of the two readings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

RUN_BYTES = 10_000_000
RUNSYNC_BYTES = 20_000_000
CHUNK_BYTES = 1_000_000
WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Limit:
    """Base limits of an operation; running workers raises both to `running × requests_per_worker`."""

    per_window: int
    concurrent: int | None


BASE_LIMITS = {
    "run": Limit(1000, 200),
    "runsync": Limit(2000, 400),
    "status": Limit(2000, 400),
    "stream": Limit(2000, 400),
    "cancel": Limit(100, 20),
    "purge-queue": Limit(2, None),
}
REQUESTS_PER_WORKER = 500
"""RunPod documents the factor but no longer its value; an earlier edition of its reference had 500."""


class RateLimiter:
    """Rate and concurrency limit of one operation of one endpoint. Each successful `acquire` needs a `release`."""

    def __init__(self, limit: Limit, clock: Callable[[], float], per_worker: int = REQUESTS_PER_WORKER) -> None:
        self._limit = limit
        self._clock = clock
        self._per_worker = per_worker
        self._accepted: deque[float] = deque()
        self._concurrent = 0

    def acquire(self, running_workers: int) -> bool:
        now = self._clock()
        while self._accepted and self._accepted[0] <= now - WINDOW_S:
            self._accepted.popleft()
        scaled = running_workers * self._per_worker
        full = self._limit.concurrent is not None and self._concurrent >= max(self._limit.concurrent, scaled)
        if full or len(self._accepted) >= max(self._limit.per_window, scaled):
            return False
        self._accepted.append(now)
        self._concurrent += 1
        return True

    def release(self) -> None:
        self._concurrent -= 1
