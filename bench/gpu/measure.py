"""Times and memory of one call on a device, as a row of the report."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from core.backends.devices import is_out_of_memory
from core.errors import ImgPodError, OutOfDeviceMemory, TooLarge

GIB = 2**30
_CARD_RESERVE_GIB = 1.0
"""Part of a card's nominal size for the driver and the CUDA context; about 23.0 GiB of 24 GB remain. Assumed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; units are in the names of `values`. If it failed, `failed` has the reason."""

    part: str
    what: str
    values: dict[str, float] = field(default_factory=dict)
    failed: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Meter:
    """Measure calls on `device`: `warm` unmeasured calls, then `measured` ones."""

    device: torch.device
    warm: int = 3
    measured: int = 10

    def row(self, part: str, what: str, run: Callable[[], Any], **extra: float) -> Row:
        """Time and peak memory of `run`, or a row that says that it ran out of memory."""
        return self.guarded(part, what, lambda: {**self.times(run), **self.memory(), **extra})

    def guarded(self, part: str, what: str, values: Callable[[], dict[str, float]]) -> Row:
        self.reset()
        failed = "out of memory"
        try:
            return Row(part, what, values())
        except (TooLarge, OutOfDeviceMemory):
            pass
        except ImgPodError as error:
            failed = error.code
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        self.reset()  # after `except`, because the exception refers to the failed call's tensors
        return Row(part, what, failed=failed)

    def times(self, run: Callable[[], Any]) -> dict[str, float]:
        """Median and 90th percentile in ms."""
        for _ in range(self.warm):
            run()
        times = sorted(self._once(run) for _ in range(self.measured))
        p90 = times[min(len(times) - 1, round(0.9 * (len(times) - 1)))]
        return {"median_ms": statistics.median(times), "p90_ms": p90}

    def _once(self, run: Callable[[], Any]) -> float:
        if self.device.type != "cuda":
            started = time.perf_counter()
            run()
            return 1000 * (time.perf_counter() - started)
        before, after = (torch.Event(device=self.device, enable_timing=True) for _ in range(2))
        before.record()
        run()
        after.record()
        torch.cuda.synchronize(self.device)
        return float(before.elapsed_time(after))

    def memory(self) -> dict[str, float]:
        """Peak of the allocator since `reset`; empty on a CPU, which has no statistics."""
        if self.device.type != "cuda":
            return {}
        return {
            "peak_gib": torch.cuda.max_memory_allocated(self.device) / GIB,
            "reserved_gib": torch.cuda.max_memory_reserved(self.device) / GIB,
        }

    def allocated(self) -> dict[str, float]:
        return {"allocated_gib": torch.cuda.memory_allocated(self.device) / GIB} if self.device.type == "cuda" else {}

    def reset(self) -> None:
        """Release unused memory and reset the peak."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


@contextmanager
def released(meter: Meter) -> Iterator[None]:
    """Context that releases the device's memory after a part, also after an error."""
    try:
        yield
    finally:
        meter.reset()


def outcome_of(outcomes: list[Any]) -> list[Any]:
    """Return `outcomes`; raise the first error among them."""
    for outcome in outcomes:
        if isinstance(outcome, ImgPodError):
            raise outcome
    return outcomes


def cap_memory(device: torch.device, fit_gb: float) -> float:
    """Limit torch's memory to that of a card of `fit_gb`; return the limit in GiB."""
    usable = fit_gb - _CARD_RESERVE_GIB
    total = torch.cuda.get_device_properties(device).total_memory / GIB
    torch.cuda.set_per_process_memory_fraction(min(1.0, usable / total), device)
    return min(usable, total)
