"""The number of workers an endpoint should have. Pure.

`request_count` is RunPod's formula, ceil((inQueue + inProgress) / value). `queue_delay` adds a worker when the job at
the head has waited longer than `value` seconds; the first worker starts at once. Only the idle timeout removes workers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scaler:
    type: Literal["queue_delay", "request_count"] = "queue_delay"
    value: float = 4.0
    min: int = 0
    max: int = 3


@dataclass(frozen=True, slots=True)
class Load:
    """Input of the scaler. `in_queue` excludes low-priority jobs, `workers` includes starting ones."""

    in_queue: int
    in_progress: int
    workers: int
    initializing: int
    oldest_wait_s: float | None
    since_added_s: float = math.inf


def desired_workers(scaler: Scaler, load: Load) -> int:
    """The target between `min` and `max`, and at least the present number: only the idle timeout removes workers."""
    if scaler.type == "request_count":
        target = math.ceil((load.in_queue + load.in_progress) / scaler.value)
    else:
        target = load.workers + _queue_delay_target(scaler, load)
    return max(scaler.min, min(target, scaler.max), load.workers)


def _queue_delay_target(scaler: Scaler, load: Load) -> int:
    if load.workers == 0:
        return int(load.in_queue > 0)
    waited_s = load.oldest_wait_s
    # Each starting worker will take one job, so there are enough when as many start as jobs are queued.
    if waited_s is None or load.initializing >= load.in_queue:
        return 0
    return int(min(waited_s, load.since_added_s) >= scaler.value)


def next_check_s(scaler: Scaler, load: Load) -> float | None:
    """Seconds until the target may change without an event; None when only an event can change it."""
    if scaler.type == "request_count" or load.oldest_wait_s is None or load.workers >= scaler.max:
        return None
    if load.initializing >= load.in_queue:
        return None
    return max(0.0, scaler.value - min(load.oldest_wait_s, load.since_added_s))
