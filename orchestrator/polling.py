"""When the status of a running job is requested next, and how many status requests are allowed per second."""

from __future__ import annotations

import time
from collections.abc import Callable

_SHORTEST_S = 0.005
_CROWD_PER_S = 500.0
_LONGEST_S = 0.5
"""Progress should look alive, and a cancel or a failure should not wait."""
HELD_MS = 1_000
"""The least that the platform's `runsync` waits. Only then is the job's id known, and can a cancel be sent."""


class StageDurations:
    """How long jobs of one kind execute, as a mean and a spread that follow the last ones; seconds."""

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
        # Drifts up slowly, so that one lucky run does not count for ever.
        self.shortest_s = min(took_s, self.shortest_s * 1.02)

    @property
    def early_s(self) -> float:
        """Before this a job has hardly ever ended; 0 where nothing is known."""
        return 0.0 if self.mean_s is None else self.mean_s - max(2 * self.spread_s, 0.02)

    @property
    def late_s(self) -> float:
        """By this a job has mostly ended; 0 where nothing is known."""
        return 0.0 if self.mean_s is None else self.mean_s + max(2 * self.spread_s, 0.1)

    @property
    def held_ms(self) -> int | None:
        """For how long a submit may hold the answer, where the job has mostly ended by then: no poll is as quick."""
        return HELD_MS if self.mean_s is not None and 1000 * self.late_s < HELD_MS else None


def wait_s(history: StageDurations, elapsed_s: float, in_flight: int = 1) -> float:
    """Seconds to wait before the next status request, `elapsed_s` after the job began.

    `in_flight` jobs share the endpoint: where many wait, each can wait a little longer.
    """
    if history.mean_s is None:
        wanted_s = elapsed_s / 10
    elif elapsed_s < history.early_s:
        wanted_s = history.early_s - elapsed_s
    elif elapsed_s <= history.late_s:
        wanted_s = history.mean_s / 100  # an answer is then seen one per cent late at most
    else:
        wanted_s = (elapsed_s - history.late_s) / 5
    return max(_SHORTEST_S, min(max(wanted_s, in_flight / _CROWD_PER_S), _LONGEST_S))


class PollRateLimiter:
    """Requests of one kind to one endpoint: `per_s` in the long run, `burst` at once. Who comes first goes first."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1 / per_s
        self._slack_s = burst / per_s
        self._clock = clock
        self._next = clock() - self._slack_s

    def turn_s(self) -> float:
        """Takes the next turn and answers in how many seconds it is."""
        now = self._clock()
        self._next = max(self._next, now - self._slack_s) + self._gap_s
        return max(0.0, self._next - now)
