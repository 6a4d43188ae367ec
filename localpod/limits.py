"""How much the platform takes: bytes per body, requests per ten seconds, requests at once.

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
    """Base limits; a fleet of running workers raises both to `running × requests_per_worker`."""

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
"""RunPod names the factor but not its figure today; an earlier edition of its reference had 500."""


class RateLimiter:
    """Counts one operation of one endpoint. `enter` answers whether a request may pass, and then wants a `leave`."""

    def __init__(self, limit: Limit, clock: Callable[[], float], per_worker: int = REQUESTS_PER_WORKER) -> None:
        self._limit = limit
        self._clock = clock
        self._per_worker = per_worker
        self._passed: deque[float] = deque()
        self._inside = 0

    def enter(self, running_workers: int) -> bool:
        now = self._clock()
        while self._passed and self._passed[0] <= now - WINDOW_S:
            self._passed.popleft()
        scaled = running_workers * self._per_worker
        crowded = self._limit.concurrent is not None and self._inside >= max(self._limit.concurrent, scaled)
        if crowded or len(self._passed) >= max(self._limit.per_window, scaled):
            return False
        self._passed.append(now)
        self._inside += 1
        return True

    def leave(self) -> None:
        self._inside -= 1
