"""Render the drawn faces of the training data into a folder outside the repository.

    python -m embedded.drawing.dataset FOLDER --count 20000 --split train --workers 2

Each split is `<split>.npy` (`(N, 192, 192, 3)` uint8, memory-mapped) and `<split>.json` (the
attributes of each picture). The same split and index give the same picture anywhere; no picture is in two splits.
"""

# ruff: noqa: S311  (random pictures, no secrets)
from __future__ import annotations

import dataclasses
import json
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from core.contracts import ATTRIBUTES, AgeBand, Features
from embedded.drawing.faces import Appearance, appearance_of, draw_appearance, random_features

SIDE = 192
_CHUNK = 50


def appearance_at(split: str, index: int, *, minors: bool = True) -> tuple[Features, Appearance]:
    """The visible attributes (covered ones are `unknown`), and all drawn attributes."""
    rng = random.Random(f"{split}/{index}")
    seen = random_features(rng, minors=minors)
    return seen, appearance_of(seen, seed=rng.randrange(2**48))


def _render(split: str, start: int, stop: int) -> tuple[int, NDArray[np.uint8], list[dict[str, Any]]]:
    pictures, records = [], []
    for index in range(start, stop):
        seen, look = appearance_at(split, index)
        pictures.append(np.asarray(draw_appearance(look, size=SIDE, supersampling=3)))
        record = {name: str(getattr(seen, name)) for name in ATTRIBUTES}
        extra = dataclasses.asdict(look)
        del extra["features"]
        records.append({"features": record, **extra})
    return start, np.stack(pictures), records


def render(folder: Path, *, split: str, count: int, workers: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, SIDE, SIDE, 3)
    pictures = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]  # numpy leaves it untyped
        folder / f"{split}.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    records: list[dict[str, Any]] = [{} for _ in range(count)]
    with ProcessPoolExecutor(workers) as pool:
        starts = list(range(0, count, _CHUNK))
        stops = [min(start + _CHUNK, count) for start in starts]
        for start, drawn, attributes in pool.map(_render, [split] * len(starts), starts, stops):
            pictures[start : start + len(drawn)] = drawn
            records[start : start + len(attributes)] = attributes
            typer.echo(f"\r{start + len(drawn)} of {count}", nl=False)
    (folder / f"{split}.json").write_text(json.dumps(records))


def load(folder: Path, split: str) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    records = json.loads((folder / f"{split}.json").read_text())
    return np.load(folder / f"{split}.npy", mmap_mode="r")[: len(records)], records


def reduced(folder: Path, split: str, side: int) -> NDArray[np.uint8]:
    """The split's pictures at `side` px, cached next to the large ones."""
    path = folder / f"{split}{side}.npy"
    if not path.exists():
        large, _ = load(folder, split)
        small = np.empty((len(large), side, side, 3), np.uint8)
        for index, picture in enumerate(large):
            small[index] = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
        np.save(path, small)
    kept: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return kept


def is_adult(record: dict[str, Any]) -> bool:
    return bool(record["features"]["age_band"] != AgeBand.UNDER_18)


def _main(
    folder: Path,
    count: Annotated[int, typer.Option(min=1)] = 20_000,
    split: str = "train",
    workers: int = 2,
) -> None:
    """Render one split."""
    render(folder, split=split, count=count, workers=workers)


if __name__ == "__main__":
    typer.run(_main)
