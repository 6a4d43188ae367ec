"""What goes in comes out: the embedded models' figures, on faces and prompts they were never trained on.

    python -m bench.embedded RUNS --photos FOLDER --count 200

Selfies are read, and avatars painted, by the product's own backends on the weights that this checkout ships; what was
painted is read by a judge trained apart (`python -m embedded.training.judge DATA RUNS`). Photographs and things
without a face are measured where `--photos` names a folder of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from core.backends import ImageRequest, NoCallbacks, SelfieRequest
from core.backends.image import LoadedImage, load_image
from core.backends.vision import LoadedVision, load_vision, read
from core.contracts import ATTRIBUTES, AgeBand, Features
from core.errors import ImgPodError
from core.prompts.portrait import portrait_prompt
from core.weights import Model, locate
from embedded.drawing.canvas import Canvas
from embedded.drawing.dataset import look_at
from embedded.drawing.faces import draw_look
from embedded.drawing.scenes import BACKGROUNDS, draw_background
from embedded.training.judge import Judge, load_judge
from embedded.training.qwen2vl import random_cut

SPLIT = "bench"
"""Faces of this split are in no training set, nor in the judge's."""


def _drawn(count: int, *, minors: bool) -> Iterator[tuple[Features, Image.Image]]:
    for index in range(count):
        seen, look = look_at(SPLIT, index, minors=minors)
        yield seen, draw_look(look, size=384, supersampling=2)


def _agreement(wanted: Features, got: Features, *, asked_only: bool) -> dict[str, bool]:
    values = {name: (getattr(wanted, name), getattr(got, name)) for name in ATTRIBUTES}
    return {name: a == b for name, (a, b) in values.items() if not (asked_only and a == "unknown")}


class Tally:
    """Shares of agreement, by attribute."""

    def __init__(self) -> None:
        self.hits: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}

    def add(self, agreement: dict[str, bool]) -> None:
        for name, hit in agreement.items():
            self.hits[name].append(hit)

    def share(self, name: str) -> float:
        return float(np.mean(self.hits[name])) if self.hits[name] else float("nan")

    def mean(self) -> float:
        return float(np.nanmean([self.share(name) for name in ATTRIBUTES]))


def _read_selfies(vision: LoadedVision, count: int) -> tuple[Tally, float, float, float]:
    """Agreement, share of minors found, share of faces found, and seconds a picture."""
    tally, minors, found, began = Tally(), [], [], time.perf_counter()
    for seen, picture in _drawn(count, minors=True):
        [reading] = vision.generate([SelfieRequest(picture)], NoCallbacks())
        if isinstance(reading, ImgPodError):
            raise reading
        tally.add(_agreement(seen, reading.features, asked_only=False))
        found.append(reading.face.detected)
        if seen.age_band is AgeBand.UNDER_18:
            minors.append(reading.features.age_band is AgeBand.UNDER_18)
    return tally, float(np.mean(minors)), float(np.mean(found)), (time.perf_counter() - began) / count


def _paint(image: LoadedImage, features: Features, seed: int) -> Image.Image:
    side = image.default_side
    [painted] = image.generate([ImageRequest(portrait_prompt(features), seed, side, side)], NoCallbacks())
    if isinstance(painted, ImgPodError):
        raise painted
    return painted.image


def _avatars(image: LoadedImage, judge: Judge, count: int) -> tuple[Tally, float]:
    tally, began = Tally(), time.perf_counter()
    for index in range(count):
        seen, _ = look_at(SPLIT, index, minors=False)
        tally.add(_agreement(seen, judge.read(_paint(image, seen, index)), asked_only=True))
    return tally, (time.perf_counter() - began) / count


def _circle(vision: LoadedVision, image: LoadedImage, judge: Judge, count: int) -> Tally:
    tally = Tally()
    for index, (seen, selfie) in enumerate(_drawn(count, minors=False)):
        [reading] = vision.generate([SelfieRequest(selfie)], NoCallbacks())
        if isinstance(reading, ImgPodError):
            raise reading
        avatar = _paint(image, reading.features, index)
        tally.add(_agreement(seen, judge.read(avatar), asked_only=True))
    return tally


def _without_a_face(photos: Path | None, count: int) -> Iterator[tuple[str, Image.Image]]:
    rng = random.Random(SPLIT)  # a draw of pictures
    for _ in range(count):
        canvas = Canvas(256, supersampling=1)
        draw_background(canvas, rng.choice(BACKGROUNDS), rng)
        yield "drawn places", canvas.finished()
        noise = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (200, 200, 3), np.uint8)
        yield "noise", Image.fromarray(noise)
    files = sorted(path for path in photos.iterdir() if path.is_file()) if photos else []
    for index in range(2 * count if files else 0):
        photo = np.asarray(Image.open(files[index % len(files)]).convert("RGB"))
        yield "photographs", Image.fromarray(random_cut(photo, rng)).resize((320, 320))


def _unknown(vision: LoadedVision, photos: Path | None, count: int) -> dict[str, float]:
    """The share of answers that are `unknown`, by kind of picture."""
    shares: dict[str, list[float]] = {}
    for kind, picture in _without_a_face(photos, count):
        features = read(vision.reader.shares(picture))
        shares.setdefault(kind, []).append(
            float(np.mean([getattr(features, name) == "unknown" for name in ATTRIBUTES]))
        )
    return {kind: float(np.mean(values)) for kind, values in shares.items()}


def _main(
    runs: Annotated[Path, typer.Argument(help="Where `judge.pt` is.")],
    photos: Annotated[Path | None, typer.Option(help="Photographs, none of which was trained on.")] = None,
    count: Annotated[int, typer.Option(min=10)] = 200,
) -> None:
    """Prints the table of figures."""
    began = time.perf_counter()
    vision = load_vision(locate("embedded", Model.VISION), locate("embedded", Model.FACE), device="cpu")
    image = load_image(locate("embedded", Model.IMAGE), device="cpu")
    loaded, judge = time.perf_counter() - began, load_judge(runs)
    selfies, minors, found, read_s = _read_selfies(vision, count)
    avatars, paint_s = _avatars(image, judge, count)
    circle = _circle(vision, image, judge, count)
    table = Table("attribute", "read from selfies", "in avatars", "whole circle")
    for name in ATTRIBUTES:
        table.add_row(name, *(f"{tally.share(name):.3f}" for tally in (selfies, avatars, circle)))
    table.add_row("mean", f"{selfies.mean():.3f}", f"{avatars.mean():.3f}", f"{circle.mean():.3f}")
    figures = Table("figure", "value", "wanted")
    figures.add_row("under_18 found", f"{minors:.3f}", "0.98")
    figures.add_row("faces found in drawn selfies", f"{found:.3f}", "")
    for kind, share in _unknown(vision, photos, count).items():
        figures.add_row(f"unknown: {kind}", f"{share:.3f}", "0.90")
    figures.add_row("profile/analyze", f"{read_s:.2f} s", "2 s")
    figures.add_row("generate", f"{paint_s:.2f} s", "2 s")
    figures.add_row("loading both", f"{loaded:.2f} s", "5 s")
    for shown in (table, figures):
        Console(width=100).print(shown)


if __name__ == "__main__":
    typer.run(_main)
