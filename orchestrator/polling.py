"""When a running job is asked after next, by how long its stage has taken before.

Asking often where the end is expected costs few requests and little waiting; the platform allows 2,000 status requests
in 10 s for each endpoint, which the jobs in flight there share.

May import: nothing.
"""

from __future__ import annotations

_REQUESTS_PER_S = 150.0
"""Of the platform's 200, what one orchestrator process uses up of an endpoint; the rest is for others."""
_SHORTEST_S = 0.015
_LONGEST_S = 0.5
"""Progress should look alive, and a cancel or a failure should not wait."""


class History:
    """How long one stage executes, as a mean and a spread that follow the last ones."""

    def __init__(self) -> None:
        self.mean_s: float | None = None
        self.spread_s = 0.0
        self.shortest_s: float | None = None

    def add(self, took_s: float) -> None:
        if self.mean_s is None:
            self.mean_s, self.shortest_s = took_s, took_s
            return
        self.spread_s += 0.2 * (abs(took_s - self.mean_s) - self.spread_s)
        self.mean_s += 0.2 * (took_s - self.mean_s)
        # Drifts up slowly, so that one lucky run does not count for ever.
        self.shortest_s = min(took_s, (self.shortest_s or took_s) * 1.02)


def wait_s(history: History, elapsed_s: float, in_flight: int) -> float:
    """Seconds to wait before the next status request, `elapsed_s` after the job was submitted."""
    fair_share_s = max(in_flight, 1) / _REQUESTS_PER_S
    if history.mean_s is None:
        wanted_s = elapsed_s / 10
    else:
        early_s = history.mean_s - max(2 * history.spread_s, 0.02)
        late_s = history.mean_s + max(2 * history.spread_s, 0.1)
        if elapsed_s < early_s:
            wanted_s = early_s - elapsed_s
        else:
            wanted_s = _SHORTEST_S if elapsed_s <= late_s else (elapsed_s - late_s) / 5
    return max(_SHORTEST_S, fair_share_s, min(wanted_s, _LONGEST_S))
