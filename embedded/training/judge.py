"""A judge of generated pictures: a convolutional classifier with one head per attribute.

It shares only the drawn faces of its training with the judged models. Only `bench/embedded.py` uses it.

    python -m embedded.training.judge DATA RUNS --minutes 8
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from core.contracts import ATTRIBUTES, Features
from embedded.drawing import dataset
from embedded.training.loop import Averaged, Clock, Run, to_signed

SIDE = 96


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class Judge(nn.Module):
    """Map `(B, 3, 96, 96)` in −1…1 to one row of logits per attribute."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            _block(3, 24, 2), _block(24, 48, 2), _block(48, 48, 1), _block(48, 96, 2), _block(96, 96, 1),
            _block(96, 128, 2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128 * 36, 256), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(values)) for name, values in ATTRIBUTES.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = self.body(pictures)
        return {name: head(seen) for name, head in self.heads.items()}

    @torch.inference_mode()
    def read(self, picture: Image.Image) -> Features:
        small = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        logits = self(to_signed(small[None]))
        values = {name: list(ATTRIBUTES[name])[int(row.argmax())] for name, row in logits.items()}
        return Features.model_validate(values)


def load_judge(runs: Path) -> Judge:
    judge = Judge().eval()
    judge.load_state_dict(torch.load(runs / "judge.pt", map_location="cpu", weights_only=True)["average"])
    return judge


def _batch(
    pictures: NDArray[np.uint8], answers: NDArray[np.int64], rng: np.random.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random mirroring, shift and blur, because generated pictures are less sharp than the drawn ones."""
    chosen = rng.integers(len(answers), size=count)
    batch = to_signed(np.stack([pictures[index] for index in chosen]))
    if rng.random() < 0.5:
        batch = batch.flip(-1)
    if rng.random() < 0.4:
        low = int(rng.integers(48, 90))
        batch = F.interpolate(F.interpolate(batch, low, mode="area"), SIDE, mode="bilinear")
    batch = torch.roll(batch, tuple(int(v) for v in rng.integers(-3, 4, 2)), (-1, -2))
    batch = batch * rng.uniform(0.9, 1.1) + rng.uniform(-0.06, 0.06)
    return batch + torch.randn_like(batch) * rng.uniform(0, 0.05), torch.from_numpy(answers[chosen])


def _main(data: Path, runs: Path, minutes: float = 8, batch: int = 48, peak: float = 2e-3, threads: int = 1) -> None:
    """Train the judge on the train split and print its accuracy on the test split."""
    torch.set_num_threads(threads)
    pictures, answers = dataset.reduced(data, "train", SIDE), _answers(data, "train")
    judge, run, rng = Judge().train(), Run(runs, "judge"), np.random.default_rng(0)
    average = Averaged(judge, keep=0.995)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=peak, weight_decay=0.02)
    clock, first = Clock(minutes, peak), run.resume(judge=judge, average=average.model, optimizer=optimizer)
    step = first
    for step in clock.steps((optimizer,), first):
        seen, wanted = _batch(pictures, answers, rng, batch)
        with torch.autocast("cpu", torch.bfloat16):
            rows = judge(seen)
        losses = [F.cross_entropy(row.float(), wanted[:, place]) for place, row in enumerate(rows.values())]
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        optimizer.zero_grad()
        average.update(judge, step)
        run.note(step, clock, loss=torch.stack(losses).mean().item())
        if run.due():
            run.save(step, judge=judge, average=average.model, optimizer=optimizer)
    run.save(step, judge=judge, average=average.model, optimizer=optimizer)
    typer.echo(accuracy(load_judge(runs), data))


def _answers(data: Path, split: str) -> NDArray[np.int64]:
    _, records = dataset.load(data, split)
    rows = [[list(values).index(record["features"][name]) for name, values in ATTRIBUTES.items()] for record in records]
    return np.array(rows)


@torch.inference_mode()
def accuracy(judge: Judge, data: Path) -> dict[str, float]:
    """Accuracy of the judge on drawn faces that it wasn't trained on."""
    pictures, answers = dataset.reduced(data, "test", SIDE), _answers(data, "test")
    hits = []
    for start in range(0, len(answers), 64):
        rows = judge(to_signed(pictures[start : start + 64]))
        predicted = torch.stack([row.argmax(-1) for row in rows.values()], 1).numpy()
        hits.append(predicted == answers[start : start + 64])
    shares = np.concatenate(hits).mean(0)
    return {
        **{name: round(float(s), 3) for name, s in zip(ATTRIBUTES, shares, strict=True)},
        "mean": round(float(shares.mean()), 3),
    }


if __name__ == "__main__":
    typer.run(_main)
