"""Report of a run: one table and one JSON document."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from typing import Any

import torch
from rich.table import Table

from bench.gpu.measure import Row

_VERSIONS = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def facts(device: torch.device, *, cap_gib: float | None, weights: str) -> dict[str, Any]:
    """Card, driver, versions, and limits of the run."""
    found: dict[str, Any] = {
        "device": str(device),
        "weights": weights,
        "memory_cap_gib": cap_gib,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _VERSIONS},
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        found |= {
            "card": card.name,
            "card_gib": round(card.total_memory / 2**30, 2),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    return found


def _driver() -> str | None:
    import subprocess

    command = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0]


def table(rows: Iterable[Row], title: str) -> Table:
    out = Table(title=title)
    for name in ("part", "what", "result"):
        out.add_column(name)
    for row in rows:
        out.add_row(row.part, row.what, row.failed or "  ".join(map(_shown, row.values.items())))
    return out


def _shown(item: tuple[str, float]) -> str:
    name, value = item
    return f"{name} {value:.4g}" if value < 100 else f"{name} {value:,.0f}"
