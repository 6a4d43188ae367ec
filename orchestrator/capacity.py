"""Admission limits: how many requests a route runs and how many retries are allowed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import QueueFull

_RATE_WINDOW_S = 60.0
_UNMEASURED_WAIT_MS = 2_000
_SHORTEST_WAIT_MS = 100


class Capacity:
    """Limit of concurrent pictures of one route, with a measured rate of completion."""

    def __init__(self, limit: int, *, retry_after_cap_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._cap_ms = retry_after_cap_ms
        self._clock = clock
        self._running = 0
        self._ends: deque[float] = deque(maxlen=256)

    @contextmanager
    def slots(self, pictures: int = 1) -> Iterator[None]:
        """Hold a slot for each picture. Raises `QueueFull` with the time until one is likely to be free."""
        if self._running and self._running + pictures > self._limit:
            message = "This route has reached its limit of concurrent requests; send the request again later."
            raise QueueFull(message, retry_after_ms=self.retry_after_ms())
        self._running += pictures
        try:
            yield
        finally:
            self._running -= pictures
            self._ends.append(self._clock())

    @property
    def running(self) -> int:
        """Number of running pictures."""
        return self._running

    def retry_after_ms(self) -> int:
        """Mean time between two completions over the last minute, ms."""
        since = self._clock() - _RATE_WINDOW_S
        recent = [end for end in self._ends if end > since]
        if len(recent) < 2:
            return min(_UNMEASURED_WAIT_MS, self._cap_ms)
        return max(_SHORTEST_WAIT_MS, min(self._cap_ms, round(1000 * (recent[-1] - recent[0]) / (len(recent) - 1))))


class RetryBudget:
    """Limit of retries to a share of first attempts, so that they can't amplify an outage; starts with `reserve`."""

    def __init__(self, share: float, *, reserve: float = 10.0) -> None:
        self._share = share
        self._most = 10 * max(reserve, 1.0)
        self._tokens = reserve

    def first(self) -> None:
        self._tokens = min(self._tokens + self._share, self._most)

    def another(self) -> bool:
        if self._share == 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        return True
