"""A small vector canvas on Pillow: smooth closed curves, strokes with round ends, soft light, in units of the drawing.

Shapes are drawn at `SUPERSAMPLING` times the final size and reduced at the end, because Pillow draws without
antialiasing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Color = tuple[int, int, int]
Points = NDArray[np.float64]
"""`(N, 2)`, x to the right and y down."""

SUPERSAMPLING = 4


def mix(a: Color, b: Color, share: float) -> Color:
    """Mix `share` (0–1) of `b` into `a`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def darker(color: Color, share: float) -> Color:
    """Mix `colour` towards a warm near-black, because a shadow on skin or cloth isn't gray."""
    return mix(color, (34, 14, 26), share)


def lighter(color: Color, share: float) -> Color:
    return mix(color, (255, 252, 246), share)


def points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=np.float64)


def smooth(corners: Points, *, closed: bool = True, per_span: int = 8) -> Points:
    """A Catmull-Rom spline through `corners`."""
    before = np.roll(corners, 1, axis=0) if closed else np.concatenate([corners[:1], corners[:-1]])
    after = np.roll(corners, -1, axis=0) if closed else np.concatenate([corners[1:], corners[-1:]])
    beyond = np.roll(corners, -2, axis=0) if closed else np.concatenate([corners[2:], corners[-1:], corners[-1:]])
    t = np.linspace(0, 1, per_span, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (span[:, None, :] for span in (before, corners, after, beyond))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    if closed:
        return np.asarray(curve.reshape(-1, 2))
    return np.concatenate([curve[:-1].reshape(-1, 2), corners[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0, count: int = 28) -> Points:
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    flat = np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.asarray(flat @ np.array([[cos, sin], [-sin, cos]]) + np.array([x, y]))


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of a drawing on the canvas: origin in px, px per unit, rotation in radians."""

    x: float
    y: float
    scale: float
    turn: float = 0.0

    def place(self, drawn: Points) -> Points:
        cos, sin = math.cos(self.turn) * self.scale, math.sin(self.turn) * self.scale
        return np.asarray(drawn @ np.array([[cos, sin], [-sin, cos]]) + np.array([self.x, self.y]))


class Canvas:
    """A canvas of `side` px, drawn larger and reduced. `frame` sets the units of the next shapes."""

    def __init__(self, side: int, ground: Color = (255, 255, 255), supersampling: int = SUPERSAMPLING) -> None:
        self.side = side
        self.px = side * supersampling
        self.image = Image.new("RGB", (self.px, self.px), ground)
        self._draw = ImageDraw.Draw(self.image)
        self.frame = Frame(0, 0, self.px)

    def frame_at(self, x: float, y: float, scale: float, turn: float = 0.0) -> Frame:
        """A frame from shares of the picture's side."""
        return Frame(x * self.px, y * self.px, scale * self.px, turn)

    def fill(self, outline: Points, color: Color, *, alpha: float = 1.0, clip: Image.Image | None = None) -> None:
        placed = self._xy(outline)
        if alpha >= 1.0 and clip is None:
            self._draw.polygon(placed, fill=color)
            return
        self._through(self._mask_of(placed), color, alpha, clip)

    def mask(self, outline: Points) -> Image.Image:
        """A clip mask: an `L` picture with 255 inside the shape."""
        return self._mask_of(self._xy(outline))

    def stroke(
        self,
        path: Points,
        width: float,
        color: Color,
        *,
        alpha: float = 1.0,
        clip: Image.Image | None = None,
    ) -> None:
        """Draw a line with round ends; `width` is in the drawing's units."""
        placed, thick = self._xy(path), max(width * self.frame.scale, 1.0)
        if alpha >= 1.0 and clip is None:
            self._stroke_on(self._draw, placed, thick, color)
            return
        mask = Image.new("L", self.image.size)
        self._stroke_on(ImageDraw.Draw(mask), placed, thick, 255)
        self._through(mask, color, alpha, clip)

    def glow(
        self, x: float, y: float, rx: float, ry: float, color: Color, alpha: float, clip: Image.Image | None = None
    ) -> None:
        """Draw a soft spot that is transparent at `rx`, `ry`."""
        center = self.frame.place(points((x, y)))[0]
        w, h = max(int(rx * self.frame.scale), 1), max(int(ry * self.frame.scale), 1)
        spot = _FALLOFF.resize((2 * w, 2 * h), Image.Resampling.BILINEAR).point(lambda v: v * alpha)
        mask = Image.new("L", self.image.size)
        mask.paste(spot, (int(center[0]) - w, int(center[1]) - h))
        self._through(mask, color, 1.0, clip)

    def gradient(self, top: Color, bottom: Color, begin: float = 0.0, end: float = 1.0) -> None:
        """Fill the rows from `begin` to `end` (shares of the side)."""
        y0, y1 = int(begin * self.px), int(end * self.px)
        ramp = np.linspace(0, 1, 64)[:, None, None]
        column = (np.array(top) * (1 - ramp) + np.array(bottom) * ramp).round().astype(np.uint8)
        strip = Image.fromarray(column, "RGB").resize((self.px, max(y1 - y0, 1)), Image.Resampling.BILINEAR)
        self.image.paste(strip, (0, y0))

    def finished(self) -> Image.Image:
        return self.image.reduce(self.px // self.side)

    def _xy(self, outline: Points) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in self.frame.place(outline)]

    def _mask_of(self, placed: Sequence[tuple[float, float]]) -> Image.Image:
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(list(placed), fill=255)
        return mask

    def _through(self, mask: Image.Image, color: Color, alpha: float, clip: Image.Image | None) -> None:
        box = mask.getbbox()
        if box is None:
            return
        mask = mask.crop(box)
        if clip is not None:
            mask = ImageChops.multiply(mask, clip.crop(box))
        if alpha < 1.0:
            mask = mask.point(lambda v: v * alpha)
        self.image.paste(color, box, mask)

    @staticmethod
    def _stroke_on(
        draw: ImageDraw.ImageDraw, placed: Sequence[tuple[float, float]], thick: float, ink: Color | int
    ) -> None:
        draw.line(list(placed), fill=ink, width=round(thick), joint="curve")
        for x, y in (placed[0], placed[-1]):
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)


def _falloff(side: int = 64) -> Image.Image:
    axis = np.linspace(-1, 1, side)
    far = np.sqrt(axis[None, :] ** 2 + axis[:, None] ** 2)
    return Image.fromarray((np.clip(1 - far, 0, 1) ** 1.3 * 255).astype(np.uint8), "L")


_FALLOFF = _falloff()
