"""Time of the next status request for a running job, and a rate limiter for status requests."""

from __future__ import annotations

import time
from collections.abc import Callable

_MIN_PAUSE_S = 0.005
_POLLS_PER_S = 500.0
_MAX_PAUSE_S = 0.5
"""Longest pause; a longer one would delay progress, cancels and failures."""
MIN_RUNSYNC_WAIT_MS = 1_000
"""Shortest wait of `runsync`. The job's id is known only after it, so that an earlier cancel is impossible."""


class StageDurations:
    """Execution times of jobs of one kind: exponential moving averages of mean and spread; seconds."""

    def __init__(self) -> None:
        self.mean_s: float | None = None
        self.spread_s = 0.0
        self.shortest_s: float | None = None

    def add(self, took_s: float) -> None:
        took_s = max(0.0, took_s)  # a platform's clock may be wrong
        if self.mean_s is None or self.shortest_s is None:
            self.mean_s, self.shortest_s = took_s, took_s
            return
        self.spread_s += 0.2 * (abs(took_s - self.mean_s) - self.spread_s)
        self.mean_s += 0.2 * (took_s - self.mean_s)
        # Increases slowly, so that one fast run has no lasting effect.
        self.shortest_s = min(took_s, self.shortest_s * 1.02)

    @property
    def earliest_s(self) -> float:
        """Time before which a job hardly ever ends; 0 if unknown."""
        return 0.0 if self.mean_s is None else self.mean_s - max(2 * self.spread_s, 0.02)

    @property
    def latest_s(self) -> float:
        """Time by which most jobs have ended; 0 if unknown."""
        return 0.0 if self.mean_s is None else self.mean_s + max(2 * self.spread_s, 0.1)

    @property
    def runsync_wait_ms(self) -> int | None:
        """Wait of `runsync` if most jobs end within its limit; None otherwise. It is faster than polling."""
        return MIN_RUNSYNC_WAIT_MS if self.mean_s is not None and 1000 * self.latest_s < MIN_RUNSYNC_WAIT_MS else None


def wait_s(history: StageDurations, elapsed_s: float, in_flight: int = 1) -> float:
    """Seconds to wait before the next status request, `elapsed_s` after the job began.

    `in_flight` jobs share the endpoint; the more there are, the longer each waits.
    """
    if history.mean_s is None:
        wanted_s = elapsed_s / 10
    elif elapsed_s < history.earliest_s:
        wanted_s = history.earliest_s - elapsed_s
    elif elapsed_s <= history.latest_s:
        wanted_s = history.mean_s / 100  # an end is then noticed at most one per cent late
    else:
        wanted_s = (elapsed_s - history.latest_s) / 5
    return max(_MIN_PAUSE_S, min(max(wanted_s, in_flight / _POLLS_PER_S), _MAX_PAUSE_S))


class PollRateLimiter:
    """FIFO rate limiter for one kind of request to one endpoint: `per_s` on average, `burst` at once."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1 / per_s
        self._slack_s = burst / per_s
        self._clock = clock
        self._next = clock() - self._slack_s

    def reserve_s(self) -> float:
        """Reserve the next request; return the seconds until it may be sent."""
        now = self._clock()
        self._next = max(self._next, now - self._slack_s) + self._gap_s
        return max(0.0, self._next - now)
