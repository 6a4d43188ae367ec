"""Backgrounds for drawn portraits: places and plain colours, drawn flat behind the figure.

Units are shares of the picture's side.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from embedded.drawing.canvas import Canvas, Color, darker, ellipse, lighter, mix, points, smooth

PLAIN: dict[str, Color] = {
    "blue": (126, 170, 222),
    "green": (150, 200, 160),
    "pink": (240, 178, 190),
    "yellow": (246, 214, 128),
    "purple": (178, 160, 222),
    "orange": (244, 172, 116),
    "teal": (112, 190, 186),
    "gray": (190, 196, 204),
    "cream": (240, 228, 206),
}


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:  # type: ignore[type-arg]  # float64, as drawn
    return points((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def plain(canvas: Canvas, rng: random.Random, color: Color) -> None:
    """Draw one colour with a soft light behind the head, sometimes a disc or a stripe of its neighbour."""
    canvas.gradient(lighter(color, 0.12), darker(color, 0.08))
    pattern = rng.randrange(4)
    if pattern == 0:
        canvas.fill(ellipse(0.5, 0.5, 0.42, 0.42, count=48), lighter(color, 0.22))
    elif pattern == 1:
        x = rng.uniform(-0.2, 0.4)
        canvas.fill(points((x, 0), (x + 0.3, 0), (x + 0.7, 1), (x + 0.4, 1)), lighter(color, 0.14))
    canvas.glow(0.5, 0.42, 0.62, 0.62, lighter(color, 0.6), 0.45)


def indoors(canvas: Canvas, rng: random.Random) -> None:
    wall = rng.choice([(233, 214, 190), (206, 216, 212), (222, 202, 206), (214, 206, 188)])
    canvas.gradient(lighter(wall, 0.15), darker(wall, 0.08))
    flip = rng.random() < 0.5
    left, right = (0.66, 0.06) if flip else (0.06, 0.66)
    canvas.fill(_box(left - 0.02, 0.08, left + 0.30, 0.54), (250, 247, 240))
    canvas.fill(_box(left, 0.10, left + 0.28, 0.52), (164, 208, 236))
    canvas.fill(ellipse(left + 0.1, 0.24, 0.07, 0.025), (236, 246, 252))
    canvas.fill(_box(left + 0.132, 0.10, left + 0.148, 0.52), (250, 247, 240))
    canvas.fill(_box(left, 0.30, left + 0.28, 0.315), (250, 247, 240))
    canvas.fill(_box(right, 0.28, right + 0.30, 0.30), (150, 104, 70))
    for index in range(5):
        x, tall = right + 0.02 + index * 0.045, rng.uniform(0.09, 0.14)
        book = rng.choice([(196, 84, 72), (72, 118, 150), (226, 172, 82), (96, 142, 104)])
        canvas.fill(_box(x, 0.28 - tall, x + 0.036, 0.28), book)
    canvas.fill(_box(right + 0.06, 0.62, right + 0.16, 0.76), (186, 106, 74))
    for turn in (-0.7, -0.25, 0.25, 0.7):
        canvas.fill(ellipse(right + 0.11 + turn * 0.09, 0.55, 0.022, 0.085, turn=turn), (84, 140, 92))
    canvas.fill(_box(0, 0.82, 1, 1), darker(wall, 0.28))


def beach(canvas: Canvas, rng: random.Random) -> None:
    sea = rng.uniform(0.44, 0.54)
    canvas.gradient((112, 190, 236), (214, 238, 246), 0, sea)
    sun = rng.choice([0.14, 0.84])
    canvas.fill(ellipse(sun, 0.16, 0.085, 0.085), (255, 226, 120))
    canvas.glow(sun, 0.16, 0.22, 0.22, (255, 240, 190), 0.6)
    canvas.gradient((36, 142, 176), (88, 196, 204), sea, 0.72)
    for _ in range(5):
        x, y = rng.uniform(0, 0.9), rng.uniform(sea + 0.03, 0.68)
        canvas.fill(_box(x, y, x + rng.uniform(0.06, 0.16), y + 0.008), (190, 232, 236))
    shore = smooth(points((-0.1, 0.72), (0.2, 0.69), (0.5, 0.73), (0.8, 0.69), (1.1, 0.72)), closed=False)
    canvas.fill(np.concatenate([shore, points((1.1, 1.1), (-0.1, 1.1))]), (240, 214, 158))
    _palm(canvas, 1 - sun)


def _palm(canvas: Canvas, x: float) -> None:
    lean = 0.06 if x < 0.5 else -0.06
    canvas.stroke(smooth(points((x - lean, 0.8), (x - lean / 3, 0.5), (x, 0.2)), closed=False), 0.032, (140, 98, 64))
    for dx, dy in ((-0.17, 0.02), (-0.13, 0.12), (0.17, 0.02), (0.13, 0.12), (-0.06, -0.1), (0.09, -0.09)):
        leaf = points(
            (x, 0.2), (x + dx * 0.5, 0.2 + dy * 0.5 - 0.05), (x + dx, 0.2 + dy), (x + dx * 0.5, 0.2 + dy * 0.5)
        )
        canvas.fill(smooth(leaf, per_span=5), (52, 134, 84) if dy > 0 else (74, 160, 96))


def night(canvas: Canvas, rng: random.Random) -> None:
    canvas.gradient((14, 18, 52), (58, 52, 112))
    for _ in range(34):
        size = rng.uniform(0.003, 0.008)
        canvas.fill(ellipse(rng.random(), rng.uniform(0, 0.7), size, size, count=8), (248, 244, 214))
    x = rng.choice([0.15, 0.84])
    canvas.glow(x, 0.17, 0.24, 0.24, (210, 214, 255), 0.5)
    canvas.fill(ellipse(x, 0.17, 0.085, 0.085), (250, 244, 214))
    canvas.fill(ellipse(x + 0.035, 0.15, 0.07, 0.07), (30, 30, 70))
    hills = smooth(points((-0.1, 0.78), (0.15, 0.68), (0.4, 0.76), (0.7, 0.66), (1.1, 0.77)), closed=False)
    canvas.fill(np.concatenate([hills, points((1.1, 1.1), (-0.1, 1.1))]), (24, 24, 58))


def forest(canvas: Canvas, rng: random.Random) -> None:
    canvas.gradient((196, 222, 176), (108, 158, 108))
    canvas.glow(0.5, 0.2, 0.6, 0.5, (246, 248, 206), 0.7)
    for near in range(2):
        trunk = mix((126, 112, 88), (86, 62, 44), near)
        for _ in range(5):
            x, wide = rng.uniform(-0.05, 1.0), 0.025 + 0.03 * near
            canvas.fill(points((x, -0.1), (x + wide, -0.1), (x + wide * 1.3, 1), (x - wide * 0.3, 1)), trunk)
    for row, leaf in ((0.0, (92, 148, 84)), (0.02, (62, 122, 70))):
        for _ in range(11):
            canvas.fill(ellipse(rng.random(), rng.uniform(-0.03, 0.1) - row, 0.11, 0.08), leaf)
    for _ in range(14):
        canvas.fill(
            ellipse(rng.random(), rng.uniform(0.82, 1.0), 0.1, 0.07), rng.choice([(54, 110, 62), (78, 138, 74)])
        )


def city(canvas: Canvas, rng: random.Random) -> None:
    canvas.gradient((170, 206, 234), (244, 226, 206))
    for near in range(2):
        x = -0.05
        while x < 1:
            wide, top = rng.uniform(0.11, 0.2), rng.uniform(0.12, 0.4) + 0.14 * near
            wall = rng.choice([(142, 156, 182), (166, 150, 160), (128, 146, 160)])
            _tower(canvas, x, wide, top, darker(wall, 0.3) if near else lighter(wall, 0.25))
            x += wide + rng.uniform(0.0, 0.03)
    canvas.fill(_box(0, 0.9, 1, 1), (96, 100, 112))


def _tower(canvas: Canvas, x: float, wide: float, top: float, wall: Color) -> None:
    canvas.fill(_box(x, top, x + wide, 1), wall)
    columns = max(int(wide / 0.045), 1)
    for row in range(int((0.92 - top) / 0.065)):
        for column in range(columns):
            wx, wy = x + wide * (column + 0.28) / columns, top + 0.03 + row * 0.065
            canvas.fill(
                _box(wx, wy, wx + 0.02, wy + 0.03),
                (255, 232, 168) if (row * 3 + column * 5) % 7 < 3 else lighter(wall, 0.3),
            )


PLACES: dict[str, Callable[[Canvas, random.Random], None]] = {
    "indoors": indoors,
    "beach": beach,
    "night": night,
    "forest": forest,
    "city": city,
}
BACKGROUNDS: tuple[str, ...] = (*PLACES, *PLAIN)


def draw_background(canvas: Canvas, name: str, rng: random.Random) -> None:
    """Draw the background `name`, one of `BACKGROUNDS`."""
    if name in PLACES:
        PLACES[name](canvas, rng)
    else:
        plain(canvas, rng, PLAIN[name])
