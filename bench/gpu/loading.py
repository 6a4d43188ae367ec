"""Rates of reading weights from disk and of copying them to the device."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.gpu.measure import GIB, Meter, Row
from bench.gpu.plan import Plan


def rows(meter: Meter, plan: Plan, folder: Path | None) -> Iterator[Row]:
    """Rates of the largest shard below `folder`, or else of a temporary file of random bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        file = _largest(folder) if folder else _random(Path(scratch), plan.copy_gib)
        size = file.stat().st_size / GIB
        yield _rate("disk", meter.times(lambda: _read(file)), size)
        block = torch.empty(file.stat().st_size, dtype=torch.uint8)
        yield _rate("copy", meter.times(lambda: block.to(meter.device, copy=True)), size)


def _rate(what: str, times: dict[str, float], size: float) -> Row:
    return Row("load", what, {**times, "gib": size, "gib_per_s": 1000 * size / times["median_ms"]})


def _largest(folder: Path) -> Path:
    return max(folder.rglob("*.safetensors"), key=lambda file: file.stat().st_size)


def _random(folder: Path, gib: float) -> Path:
    file = folder / "random.bin"
    block = os.urandom(2**20)
    with file.open("wb") as opened:
        for _ in range(max(1, round(gib * 1024))):
            opened.write(block)
        opened.flush()
        os.fsync(opened.fileno())
    return file


def _read(file: Path) -> None:
    """Read rate of the disk, without the page cache as far as the kernel follows the advice."""
    with file.open("rb", buffering=0) as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while opened.read(2**24):
            pass
