"""How many workers an endpoint should have. Pure: numbers in, a number out.

`request_count` is RunPod's formula, ceil((inQueue + inProgress) / value). `queue_delay` adds a worker when the job at
the head has waited longer than `value` seconds; the first one starts at once. Workers only ever leave by being idle.
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
    """`in_queue` without low-priority jobs, which start no worker; `workers` that live or are being started."""

    in_queue: int
    in_progress: int
    workers: int
    initializing: int
    oldest_wait_s: float | None
    since_added_s: float = math.inf


def wanted_workers(scaler: Scaler, load: Load) -> int:
    """Between `min` and `max`, and never fewer than there are: shrinking is the idle time-out's business."""
    if scaler.type == "request_count":
        wanted = math.ceil((load.in_queue + load.in_progress) / scaler.value)
    else:
        wanted = load.workers + _one_more(scaler, load)
    return max(scaler.min, min(wanted, scaler.max), load.workers)


def _one_more(scaler: Scaler, load: Load) -> int:
    if load.workers == 0:
        return int(load.in_queue > 0)
    waited_s = load.oldest_wait_s
    # Workers that are still starting will take a job each: no more are needed than jobs that wait.
    if waited_s is None or load.initializing >= load.in_queue:
        return 0
    return int(min(waited_s, load.since_added_s) >= scaler.value)


def look_again_s(scaler: Scaler, load: Load) -> float | None:
    """When waiting alone may change the answer, seconds from now; None when only an event can."""
    if scaler.type == "request_count" or load.oldest_wait_s is None or load.workers >= scaler.max:
        return None
    if load.initializing >= load.in_queue:
        return None
    return max(0.0, scaler.value - min(load.oldest_wait_s, load.since_added_s))
