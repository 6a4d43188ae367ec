"""Common parts of the trainers: learning rate schedule, averaged weights, resuming, reading of small pictures.

A run is limited by minutes, not steps, so that it suits any machine. Its state is written every few minutes and at the
end, so that it can be stopped at any time and resumed with the same command.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn

M = TypeVar("M", bound=nn.Module)


@dataclass(slots=True)
class Clock:
    """Learning rate for the elapsed share of the run's time: warm-up, plateau, decay to zero."""

    minutes: float
    peak: float
    warm: float = 0.02
    decay_from: float = 0.6
    began: float = field(default_factory=time.monotonic)

    @property
    def share(self) -> float:
        return (time.monotonic() - self.began) / (self.minutes * 60)

    def rate(self, share: float) -> float:
        if share < self.warm:
            return self.peak * (share + 1e-3) / (self.warm + 1e-3)
        fall = max(share - self.decay_from, 0.0) / (1 - self.decay_from)
        return self.peak * (0.5 + 0.5 * math.cos(math.pi * min(fall, 1.0)))

    def steps(
        self, optimizers: Sequence[torch.optim.Optimizer], first: int = 0, processes: TrainingProcesses | None = None
    ) -> Iterator[int]:
        """Yield steps until the time is over; set each step's learning rate, the same in all processes."""
        step = first
        while (share := processes.mean(self.share) if processes else self.share) < 1:
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.rate(share)
            yield step
            step += 1


class TrainingProcesses:
    """The processes that train one model, started by `torchrun --nproc-per-node N -m embedded.…`; or a single one.

    Each process has its own batches. Gradients are averaged, so all have the same weights. The first one saves the
    state and reports.
    """

    def __init__(self) -> None:
        self.count, self.place = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        if self.count > 1:
            torch.distributed.init_process_group("gloo")

    def mean(self, figure: float) -> float:
        if self.count == 1:
            return figure
        shared = torch.tensor(figure, dtype=torch.float64)
        torch.distributed.all_reduce(shared)
        return float(shared) / self.count

    def average_gradients(self, model: nn.Module) -> None:
        if self.count == 1:
            return
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients]) / self.count
        torch.distributed.all_reduce(flat)
        for gradient, averaged in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(averaged.view_as(gradient))


class Averaged(Generic[M]):
    """An exponential moving average of a model's weights, which is the result of the training."""

    def __init__(self, model: M, keep: float = 0.999) -> None:
        self.keep = keep
        self.model: M = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, model: M, step: int) -> None:
        keep = min(self.keep, (1 + step) / (10 + step))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)
        for kept, current in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(current)


class Run:
    """A resumable run with its state file and its figures."""

    def __init__(self, folder: Path, name: str, every_s: float = 120) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.log = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self.every_s, self.saved = every_s, time.monotonic()
        self.seen: dict[str, float] = {}

    def resume(self, **parts: nn.Module | torch.optim.Optimizer) -> int:
        """Load the saved state into `parts`; return the step at which to resume."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int, **parts: nn.Module | torch.optim.Optimizer) -> None:
        beside = self.path.with_suffix(".new")
        torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, beside)
        beside.replace(self.path)
        self.saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.saved > self.every_s

    def note(self, step: int, clock: Clock, every: int = 50, **figures: float) -> None:
        for name, value in figures.items():
            self.seen[name] = 0.95 * self.seen.get(name, value) + 0.05 * value
        if step % every == 0:
            shown = {name: round(value, 5) for name, value in self.seen.items()}
            line = json.dumps({"step": step, "share": round(clock.share, 3), **shown})
            with self.log.open("a") as file:
                file.write(line + "\n")
            typer.echo(line)


def two_optimizers(model: nn.Module, blocks: Sequence[str], peak: float) -> tuple[torch.optim.Muon, torch.optim.AdamW]:
    """Muon for the matrices of modules whose names contain one of `blocks`, AdamW for the others."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        is_inner = weight.ndim == 2 and any(part in name for part in blocks)
        (matrices if is_inner else others).append(weight)
    muon = torch.optim.Muon(matrices, lr=peak, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return muon, torch.optim.AdamW(others, lr=peak, weight_decay=0.0, betas=(0.9, 0.98))


def to_signed(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Convert `(B, H, W, 3)` bytes to `(B, 3, H, W)` in −1…1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
