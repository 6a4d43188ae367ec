"""Fit the vision model's temperatures on labelled faces: `python -m tools.calibrate FOLDER`.

FOLDER contains pictures and `labels.csv` with the columns `file`, `attribute` and `value`, such as
`anna.jpg,age_band,25_34`. A few hundred faces are needed; an attribute with fewer than 20 labels keeps temperature 1.
Set SELFIE_CALIBRATION_FILE to the written file, or put it into the checkpoint's folder as `calibration.json`.

May import: core.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from core.backends.calibration import Calibration
from core.prompts.questions import QUESTIONS

if TYPE_CHECKING:
    import torch

FEWEST = 20
_BOUNDS = (0.1, 10.0)
_GOLDEN = (math.sqrt(5) - 1) / 2
Logits = Mapping[tuple[str, str], "torch.Tensor"]
"""The logits of one picture: (order, attribute) → logits of the values."""
console = Console()


def fit_temperature(logits: Sequence[Logits], truths: Sequence[int], attribute: str, orders: Sequence[str]) -> float:
    """The temperature with the smallest negative log-likelihood of `truths`, by golden-section search."""
    low, high = (math.log(bound) for bound in _BOUNDS)
    for _ in range(40):
        first, second = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if _loss(logits, truths, attribute, orders, math.exp(first)) < _loss(
            logits, truths, attribute, orders, math.exp(second)
        ):
            high = second
        else:
            low = first
    return round(math.exp((low + high) / 2), 4)


def _loss(
    logits: Sequence[Logits], truths: Sequence[int], attribute: str, orders: Sequence[str], temperature: float
) -> float:
    shares = (_shares(one, attribute, orders, temperature) for one in logits)
    return -sum(math.log(max(share[truth], 1e-12)) for share, truth in zip(shares, truths, strict=True))


def _shares(logits: Logits, attribute: str, orders: Sequence[str], temperature: float) -> list[float]:
    parts = [(logits[order, attribute] / temperature).softmax(-1).tolist() for order in orders]
    return [sum(column) / len(parts) for column in zip(*parts, strict=True)]


def calibration_error(shares: Sequence[Sequence[float]], truths: Sequence[int], bins: int = 10) -> float:
    """Expected calibration error: the mean difference of confidence and accuracy, by bins of confidence."""
    grouped: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for share, truth in zip(shares, truths, strict=True):
        confidence = max(share)
        grouped[min(bins - 1, int(confidence * bins))].append((confidence, share[truth] == confidence))
    return sum(
        abs(sum(confidence for confidence, _ in group) - sum(right for _, right in group)) for group in grouped.values()
    ) / len(truths)


def read_labels(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Attribute → (file, index of the value). Raises `typer.BadParameter` for a label that does not exist."""
    labels: dict[str, list[tuple[str, int]]] = defaultdict(list)
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            question = QUESTIONS.get(row["attribute"])
            if question is None or row["value"] not in question.values:
                raise typer.BadParameter(f"labels.csv, line {number}: no such attribute or value.")
            labels[row["attribute"]].append((row["file"], [*question.values].index(row["value"])))  # type: ignore[arg-type]
    return labels


def main(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Pictures and labels.csv.")],
    to: Annotated[Path, typer.Option(help="The file to write.")] = Path("calibration.json"),
) -> None:
    labels = read_labels(folder)
    reader, logits = _read_pictures(folder, sorted({file for rows in labels.values() for file, _ in rows}))
    orders = reader.calibration.orders
    temperatures = {}
    table = Table("attribute", "labels", "temperature", "calibration error before", "after")
    for attribute, rows in labels.items():
        seen, truths = [logits[file] for file, _ in rows], [truth for _, truth in rows]
        fitted = fit_temperature(seen, truths, attribute, orders) if len(rows) >= FEWEST else 1.0
        temperatures[attribute] = fitted
        before, after = (
            calibration_error([_shares(one, attribute, orders, value) for one in seen], truths)
            for value in (1.0, fitted)
        )
        table.add_row(attribute, str(len(rows)), str(fitted), f"{before:.3f}", f"{after:.3f}")
    to.write_text(Calibration(orders, temperatures).to_json(), encoding="utf-8")
    console.print(table)
    console.print(f"Wrote {to}.")


def _read_pictures(folder: Path, files: Sequence[str]) -> tuple[Any, dict[str, Logits]]:
    from PIL import Image

    from core.backends.vision import face_crop, load_vision
    from core.settings import load_settings
    from core.weights import Model

    weights = load_settings().weights
    backend = load_vision(weights.locate(Model.VISION), weights.locate(Model.FACE))
    logits: dict[str, Logits] = {}
    for file in files:
        image = Image.open(folder / file).convert("RGB")
        faces = backend.detector.find(image)
        logits[file] = backend.reader.letter_logits(face_crop(image, faces[0] if faces else None))
    return backend.reader, logits


if __name__ == "__main__":
    typer.run(main)
