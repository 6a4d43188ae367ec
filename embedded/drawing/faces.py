"""Draw a flat portrait of a person with given `Features`; the same seed gives the same bytes.

Gender presentation and age follow the conventions of drawing (proportions, lashes, lips, lines, gray temples), so that
every value is visible at 128 px. Pose, clothes, light and background are drawn from the seed.

    python -m embedded.drawing.faces OUT_DIR        writes the demo's test selfies
"""

# ruff: noqa: S311  (random pictures, no secrets)
from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from PIL import Image, ImageChops

from core.contracts import (
    AgeBand,
    Earrings,
    Expression,
    EyeColor,
    FaceShape,
    FacialHair,
    Features,
    GenderPresentation,
    Glasses,
    HairColor,
    HairLength,
    HairStyle,
    Headwear,
    SkinTone,
)
from embedded.drawing.canvas import (
    SUPERSAMPLING,
    Canvas,
    Color,
    Points,
    darker,
    ellipse,
    lighter,
    mix,
    points,
    smooth,
)
from embedded.drawing.scenes import PLACES, PLAIN, draw_background

E = TypeVar("E", bound=StrEnum)


SKIN: dict[str, Color] = {
    SkinTone.VERY_LIGHT: (255, 231, 216),
    SkinTone.LIGHT: (250, 206, 174),
    SkinTone.MEDIUM: (230, 174, 130),
    SkinTone.TAN: (200, 138, 92),
    SkinTone.BROWN: (146, 92, 60),
    SkinTone.DARK: (88, 54, 40),
}
HAIR: dict[str, Color] = {
    HairColor.BLACK: (36, 32, 42),
    HairColor.BROWN: (108, 66, 40),
    HairColor.BLOND: (238, 196, 104),
    HairColor.RED: (196, 78, 34),
    HairColor.GRAY: (150, 154, 164),
    HairColor.WHITE: (242, 242, 246),
}
DYED: tuple[Color, ...] = ((238, 84, 158), (64, 112, 236), (146, 82, 216), (36, 180, 168), (86, 190, 84))
EYES: dict[str, Color] = {
    EyeColor.BROWN: (98, 54, 26),
    EyeColor.BLUE: (44, 124, 226),
    EyeColor.GREEN: (44, 156, 72),
    EyeColor.HAZEL: (196, 146, 36),
    EyeColor.GRAY: (140, 152, 164),
}
CLOTH: dict[str, Color] = {
    "red": (206, 66, 66),
    "blue": (62, 104, 176),
    "green": (72, 138, 96),
    "yellow": (234, 188, 76),
    "purple": (126, 88, 166),
    "pink": (228, 134, 158),
    "white": (240, 240, 236),
    "black": (48, 48, 58),
    "orange": (232, 128, 62),
    "teal": (40, 142, 146),
    "brown": (136, 94, 66),
    "gray": (134, 140, 150),
}
CLOTHES = ("t-shirt", "shirt", "sweater", "hoodie", "jacket", "blouse")
WHITE: Color = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Appearance:
    """All parameters of a portrait: definite features, and the values drawn from the seed."""

    features: Features
    background: str
    clothes: str
    cloth_color: str
    hat_color: str
    dye: int
    x: float
    y: float
    scale: float
    tilt: float
    yaw: float
    light: float
    texture: int


def random_features(rng: random.Random, *, minors: bool = False) -> Features:
    """Random visible features; covered ones (eyes behind sunglasses, hair under a scarf) are unknown.

    With `minors`, `under_18` may occur: for the vision model only, never for the image model.
    """
    gender = _known(rng, GenderPresentation)
    age = AgeBand.UNDER_18 if minors and rng.random() < 0.16 else _known(rng, AgeBand, but=(AgeBand.UNDER_18,))
    young = age is AgeBand.UNDER_18
    man = gender is GenderPresentation.MASCULINE and not young
    glasses = rng.choices(list(Glasses)[:3], (10, 5, 0 if young else 4))[0]
    headwear = rng.choices(list(Headwear)[:4], (12, 2, 2, 0 if man else 2))[0]
    color, length, style = _random_hair(rng, headwear, bald=man)
    return Features(
        gender_presentation=gender,
        age_band=age,
        skin_tone=_known(rng, SkinTone),
        hair_color=color,
        hair_length=length,
        hair_style=style,
        eye_color=EyeColor.UNKNOWN if glasses is Glasses.SUNGLASSES else _known(rng, EyeColor),
        facial_hair=_known(rng, FacialHair) if man else FacialHair.NONE,
        glasses=glasses,
        expression=_known(rng, Expression),
        face_shape=_known(rng, FaceShape),
        headwear=headwear,
        earrings=rng.choice([Earrings.NONE, Earrings.WORN]),
    )


def _random_hair(rng: random.Random, headwear: Headwear, *, bald: bool) -> tuple[HairColor, HairLength, HairStyle]:
    if headwear is Headwear.SCARF:
        return HairColor.UNKNOWN, HairLength.UNKNOWN, HairStyle.UNKNOWN
    if rng.random() < (0.2 if bald else 0.03):
        return HairColor.NONE, HairLength.BALD, HairStyle.NONE
    color = _known(rng, HairColor, but=(HairColor.NONE,))
    under_a_hat = headwear is not Headwear.NONE
    length = _known(rng, HairLength, but=(HairLength.BALD, *((HairLength.SHORT,) if under_a_hat else ())))
    hidden = (HairStyle.BUN,) if under_a_hat or length is HairLength.SHORT else ()
    tied = (HairStyle.PONYTAIL,) if length is HairLength.SHORT else ()
    return color, length, _known(rng, HairStyle, but=(HairStyle.NONE, *hidden, *tied))


def _known(rng: random.Random, kind: type[E], but: Sequence[E] = ()) -> E:
    return rng.choice([value for value in kind if value != "unknown" and value not in but])


def _definite(features: Features, rng: random.Random) -> Features:
    """Replace unknown values by random ones, because an eye can't be drawn without a colour."""
    drawn = random_features(rng)
    worn = {"glasses": Glasses.NONE, "headwear": Headwear.NONE, "facial_hair": FacialHair.NONE}
    values = {
        name: value if (value := getattr(features, name)) != "unknown" else worn.get(name, getattr(drawn, name))
        for name in type(drawn).model_fields
        if name not in ("confidence", "signature")
    }
    if values["age_band"] is AgeBand.UNDER_18 and features.age_band is not AgeBand.UNDER_18:
        values["age_band"] = AgeBand.FROM_25_TO_34
    if values["eye_color"] is EyeColor.UNKNOWN:
        values["eye_color"] = EyeColor.BROWN
    if HairLength.BALD is values["hair_length"] or HairColor.NONE is values["hair_color"]:
        values |= {"hair_length": HairLength.BALD, "hair_color": HairColor.NONE, "hair_style": HairStyle.NONE}
    else:
        values |= _definite_hair(values, rng)
    return Features.model_validate(values)


def _definite_hair(values: dict[str, StrEnum], rng: random.Random) -> dict[str, StrEnum]:
    """Make the values of hair consistent: a bun needs length, and visible hair has a style and a colour."""
    style, length, color = values["hair_style"], values["hair_length"], values["hair_color"]
    if style in (HairStyle.NONE, HairStyle.UNKNOWN):
        style = HairStyle.STRAIGHT
    if color == HairColor.UNKNOWN:
        color = HairColor(rng.choice(list(HAIR)))
    if length == HairLength.UNKNOWN or (length == HairLength.SHORT and style in (HairStyle.BUN, HairStyle.PONYTAIL)):
        length = HairLength.MEDIUM
    return {"hair_style": style, "hair_length": length, "hair_color": color}


def appearance_of(features: Features, *, seed: int, background: str | None = None) -> Appearance:
    """The parameters for `features` and `seed`; `background` is one of `BACKGROUNDS`, or `plain` for a plain colour."""
    rng = random.Random(seed)
    definite = _definite(features, rng)
    place = rng.choice(list(PLACES)) if rng.random() < 0.5 else rng.choice(list(PLAIN))
    plain_color = rng.choice(list(PLAIN))
    if background is not None:
        place = plain_color if background == "plain" else background
    return Appearance(
        features=definite,
        background=place,
        clothes=rng.choice(CLOTHES),
        cloth_color=rng.choice(list(CLOTH)),
        hat_color=rng.choice(list(CLOTH)),
        dye=rng.randrange(len(DYED)),
        x=0.5 + rng.uniform(-0.03, 0.03),
        y=0.475 + rng.uniform(-0.015, 0.02),
        scale=0.262 + rng.uniform(-0.014, 0.012),
        tilt=rng.gauss(0, 0.04),
        yaw=rng.uniform(-1, 1),
        light=rng.uniform(-1, 1),
        texture=rng.randrange(2**31),
    )


def draw_face(features: Features, *, seed: int, size: int = 128, background: str | None = None) -> Image.Image:
    """Draw an RGB picture with sides of `size` px."""
    return draw_appearance(appearance_of(features, seed=seed, background=background), size=size)


def draw_appearance(look: Appearance, *, size: int = 128, supersampling: int = SUPERSAMPLING) -> Image.Image:
    return _Portrait(look, size, supersampling).drawn()


# Half widths of a face in units of half a face's height: at the temples, cheeks, jaw, chin, and the chin's depth.
_SHAPE: dict[str, tuple[float, float, float, float, float]] = {
    FaceShape.OVAL: (0.70, 0.75, 0.61, 0.27, 1.00),
    FaceShape.ROUND: (0.76, 0.88, 0.78, 0.38, 0.90),
    FaceShape.SQUARE: (0.75, 0.78, 0.78, 0.50, 0.94),
    FaceShape.HEART: (0.80, 0.76, 0.47, 0.12, 1.00),
    FaceShape.LONG: (0.62, 0.64, 0.55, 0.28, 1.16),
}
_AGES = list(AgeBand)
_FOREHEAD = ((-0.34, 0.0), (-0.14, 0.035), (0.14, 0.035), (0.34, 0.0))
_GRAY: Color = (206, 207, 212)
_GRAYED = (0.0, 0.0, 0.0, 0.55, 1.0)
"""Share of gray in brows and whiskers, for the age bands after 25 to 34."""
_LOOSE = (HairStyle.STRAIGHT, HairStyle.WAVY, HairStyle.CURLY, HairStyle.COILY)


class _Portrait:
    """Draws one portrait from back to front. Unit: half a face's height; origin: between eye line and nose."""

    def __init__(self, look: Appearance, size: int, supersampling: int) -> None:
        self.look, self.f = look, look.features
        self.rng = random.Random(look.texture)
        self.canvas = Canvas(size, supersampling=supersampling)
        self.body = self.canvas.frame_at(look.x, look.y, look.scale)
        self.head = self.canvas.frame_at(look.x, look.y, look.scale, look.tilt)
        self.worn = max(0, _AGES.index(self.f.age_band) - _AGES.index(AgeBand.FROM_25_TO_34))
        self.young = self.f.age_band is AgeBand.UNDER_18
        self.man = self.f.gender_presentation is GenderPresentation.MASCULINE
        self.woman = self.f.gender_presentation is GenderPresentation.FEMININE
        self.skin = SKIN[self.f.skin_tone]
        self.shadow = mix(darker(self.skin, 0.2), (150, 40, 40), 0.1)
        self.hair = DYED[look.dye] if self.f.hair_color is HairColor.DYED else HAIR.get(self.f.hair_color, (60, 50, 50))
        self.temples, self.cheeks, self.jaw, self.chin_width, self.chin = _SHAPE[self.f.face_shape]
        if self.young:
            self.jaw, self.chin = self.jaw * 1.04 + 0.03, self.chin * 0.93
        self.turned = look.yaw * 0.07
        self.covered = self.f.headwear is Headwear.SCARF
        self.bald = self.f.hair_length is HairLength.BALD

    def drawn(self) -> Image.Image:
        draw_background(self.canvas, self.look.background, self.rng)
        self.canvas.frame = self.head
        if not self.covered and not self.bald:
            self._hair_behind()
        self.canvas.frame = self.body
        self._clothes()
        self.canvas.frame = self.head
        self._ears()
        self._face()
        self._lines_of_age()
        self._lower_face()
        self._eyes()
        self._glasses()
        if not self.covered and not self.bald:
            self._hair_in_front()
        self._headwear()
        self._earrings()
        self._light()
        return self.canvas.finished()

    def _clothes(self) -> None:
        cloth = CLOTH[self.look.cloth_color]
        wide = (1.62 if self.man else 1.38) - (0.22 if self.young else 0)
        neck = (0.42 if self.man else 0.31) - (0.05 if self.young else 0)
        top = self.chin + (0.30 if not self.young else 0.2)
        self._neck(neck, top)
        half = points(
            (neck * 0.95, top - 0.1),
            (neck + 0.28, top + 0.06),
            (wide * 0.78, top + 0.24),
            (wide, top + 0.62),
            (wide + 0.08, 2.6),
        )
        outline = np.concatenate([smooth(half, closed=False), smooth(half, closed=False)[::-1] * np.array([-1.0, 1.0])])
        self.torso = self.canvas.mask(outline)
        self.canvas.fill(outline, cloth)
        self.canvas.glow(
            0.95 * (1 if self.look.light < 0 else -1), top + 0.9, 1.1, 1.1, darker(cloth, 0.5), 0.5, self.torso
        )
        getattr(self, f"_{self.look.clothes.replace('-', '_')}")(cloth, neck, top)

    def _neck(self, neck: float, top: float) -> None:
        column = points(
            (-neck, 0.4),
            (neck, 0.4),
            (neck + 0.04, top),
            (neck + 0.3, top + 0.3),
            (-neck - 0.3, top + 0.3),
            (-neck - 0.04, top),
        )
        self.canvas.fill(column, mix(self.skin, self.shadow, 0.35))
        under = self.canvas.mask(column)
        self.canvas.fill(ellipse(self.turned, self.chin - 0.28, 0.74, 0.52), self.shadow, alpha=0.75, clip=under)

    def _opening(self, deep: float, wide: float, top: float, *, pointed: bool) -> None:
        """Draw the skin in a neckline, with its edge."""
        middle = points((0.0, top + deep))
        curve = (
            np.concatenate([points((-wide, top - 0.12)), middle, points((wide, top - 0.12))])
            if pointed
            else smooth(
                points(
                    (-wide, top - 0.12),
                    (-wide * 0.7, top + deep * 0.75),
                    (0, top + deep),
                    (wide * 0.7, top + deep * 0.75),
                    (wide, top - 0.12),
                ),
                closed=False,
            )
        )
        self.canvas.fill(curve, mix(self.skin, self.shadow, 0.12))
        column = self.canvas.mask(curve)
        self.canvas.fill(ellipse(self.turned, self.chin - 0.2, 0.7, 0.5), self.shadow, alpha=0.6, clip=column)

    def _t_shirt(self, cloth: Color, neck: float, top: float) -> None:
        self._opening(0.2, neck + 0.16, top, pointed=False)
        rim = smooth(
            points(
                (-neck - 0.17, top - 0.1),
                (-neck * 0.8, top + 0.13),
                (0, top + 0.21),
                (neck * 0.8, top + 0.13),
                (neck + 0.17, top - 0.1),
            ),
            closed=False,
        )
        self.canvas.stroke(rim, 0.075, lighter(cloth, 0.3) if sum(cloth) < 500 else darker(cloth, 0.18))

    def _blouse(self, cloth: Color, neck: float, top: float) -> None:
        self._opening(0.55, neck + 0.2, top, pointed=True)
        for side in (-1, 1):
            self.canvas.stroke(points((side * (neck + 0.2), top - 0.1), (0, top + 0.56)), 0.06, lighter(cloth, 0.22))

    def _sweater(self, cloth: Color, neck: float, top: float) -> None:
        roll = points(
            (-neck - 0.06, top - 0.22), (neck + 0.06, top - 0.22), (neck + 0.16, top + 0.14), (-neck - 0.16, top + 0.14)
        )
        self.canvas.fill(smooth(roll, per_span=5), lighter(cloth, 0.12))
        self.canvas.stroke(
            points((-neck - 0.1, top + 0.1), (0, top + 0.17), (neck + 0.1, top + 0.1)), 0.035, darker(cloth, 0.25)
        )
        for row in range(3):
            y = top + 0.48 + row * 0.22
            self.canvas.stroke(
                smooth(points((-1.7, y + 0.3), (0, y), (1.7, y + 0.3)), closed=False),
                0.05,
                darker(cloth, 0.14),
                clip=self.torso,
            )

    def _shirt(self, cloth: Color, neck: float, top: float) -> None:
        self._opening(0.34, neck + 0.1, top, pointed=True)
        for side in (-1, 1):
            collar = points(
                (side * (neck + 0.02), top - 0.2),
                (side * (neck + 0.2), top - 0.04),
                (side * 0.3, top + 0.42),
                (side * 0.01, top + 0.32),
            )
            self.canvas.fill(collar, lighter(cloth, 0.28))
            self.canvas.stroke(collar[1:], 0.025, darker(cloth, 0.28))
        self.canvas.stroke(points((0, top + 0.36), (0, 2.6)), 0.03, darker(cloth, 0.28))
        for y in (0.58, 0.86):
            self.canvas.fill(ellipse(0.07, top + y, 0.035, 0.035, count=12), lighter(cloth, 0.6))

    def _hoodie(self, cloth: Color, neck: float, top: float) -> None:
        hood = smooth(
            points(
                (-neck - 0.42, top + 0.1),
                (-neck - 0.12, top - 0.22),
                (0, top + 0.34),
                (neck + 0.12, top - 0.22),
                (neck + 0.42, top + 0.1),
                (0, top + 0.6),
            )
        )
        self._opening(0.26, neck + 0.12, top, pointed=False)
        self.canvas.fill(hood, darker(cloth, 0.22))
        self._opening(0.22, neck + 0.06, top, pointed=False)
        for side in (-1, 1):
            self.canvas.stroke(points((side * 0.2, top + 0.4), (side * 0.23, top + 0.86)), 0.04, lighter(cloth, 0.6))

    def _jacket(self, cloth: Color, neck: float, top: float) -> None:
        under = (236, 236, 232) if self.look.cloth_color != "white" else CLOTH["teal"]
        self.canvas.fill(points((-0.34, top + 0.05), (0.34, top + 0.05), (0.12, 2.4), (-0.12, 2.4)), under)
        self._opening(0.34, neck + 0.04, top, pointed=True)
        for side in (-1, 1):
            lapel = points(
                (side * (neck + 0.02), top - 0.2),
                (side * (neck + 0.32), top + 0.02),
                (side * 0.56, top + 0.5),
                (side * 0.4, top + 0.54),
                (side * 0.1, 2.3),
            )
            self.canvas.fill(lapel, lighter(cloth, 0.14))
            self.canvas.stroke(lapel[1:], 0.03, darker(cloth, 0.3))

    def _outline(self, grown: float = 0.0) -> Points:
        crown = -1.06 if not self.young else -1.1
        right = points(
            (0.0, crown - grown),
            (self.temples * 0.62, crown + 0.08 - grown * 0.8),
            (self.temples + grown, -0.52),
            (self.cheeks + grown, 0.02),
            (self.jaw + grown, self.chin * 0.52),
            (self.chin_width + 0.1 + grown * 0.7, self.chin * 0.88 + grown * 0.5),
            (self.chin_width * 0.5, self.chin * 0.985 + grown),
            (0.0, self.chin + grown),
        )
        return _symmetric(right)

    def _ears(self) -> None:
        for side in (-1, 1):
            x = side * (self.cheeks + 0.03) - self.turned * 0.6
            self.canvas.fill(ellipse(x, 0.1, 0.13, 0.21, turn=side * -0.15), self.skin)
            self.canvas.fill(
                ellipse(x + side * 0.01, 0.1, 0.065, 0.12, turn=side * -0.15), mix(self.skin, self.shadow, 0.6)
            )

    def _face(self) -> None:
        outline = self._outline()
        self.face_mask = self.canvas.mask(outline)
        self.canvas.fill(outline, self.skin)
        away = 1 if self.look.light < 0 else -1
        inner = outline * np.array([0.98, 1.0]) - np.array([away * 0.2, 0.04])
        shade = self.canvas.mask(inner).point(lambda v: 255 - v)
        self.canvas.fill(outline, self.shadow, alpha=0.42, clip=_both(shade, self.face_mask))
        self.canvas.glow(-away * 0.28, -0.3, 0.75, 0.85, lighter(self.skin, 0.5), 0.32, self.face_mask)
        if self.young or self.f.age_band is AgeBand.FROM_18_TO_24:
            blush = mix(self.skin, (236, 74, 84), 0.5 if sum(self.skin) > 400 else 0.38)
            for side in (-1, 1):
                self.canvas.glow(side * 0.44 + self.turned, 0.34, 0.3, 0.22, blush, 1.0, self.face_mask)
        if self.young:
            for dx, dy in ((0.3, 0.27), (0.4, 0.33), (0.5, 0.26), (0.42, 0.22)):
                for side in (-1, 1):
                    self.canvas.fill(
                        ellipse(side * dx + self.turned, dy, 0.025, 0.022, count=10),
                        mix(self.skin, (150, 70, 40), 0.55),
                    )

    def _lines_of_age(self) -> None:
        """Draw the marks of an age band: visible at a small size, in several places, because hats and beards hide some.

        These are folds, bags and lines of the forehead; temples, brows and whiskers also turn gray.
        """
        for side in (-1, 1):
            for path, width in self._creases():
                self._crease([(side * x + self.turned, y) for x, y in path], width)
        for y in {2: (-0.58,), 3: (-0.52, -0.65), 4: (-0.48, -0.59, -0.7)}.get(self.worn, ()):
            self._crease([(x + self.turned, y - rise) for x, rise in _FOREHEAD], 0.038)

    def _creases(self) -> Iterator[tuple[list[tuple[float, float]], float]]:
        """The lines of the face's right half with their widths, from the nose outwards."""
        if self.worn >= 1:
            yield [(0.21, 0.28), (0.31, 0.37), (0.35, 0.46)], 0.05
        if self.worn >= 2:
            yield [(0.35, 0.4), (0.45, 0.58), (0.44, 0.72)], 0.05
            yield [(0.18, 0.19), (0.34, 0.25), (0.5, 0.18)], 0.044
        if self.worn >= 3:
            yield [(0.18, 0.265), (0.34, 0.325), (0.5, 0.255)], 0.044
            yield [(0.32, 0.74), (0.36, 0.84), (0.33, 0.93)], 0.05
        if self.worn >= 4:
            yield from (([(0.57, dy * 0.6), (0.7, dy * 1.7)], 0.036) for dy in (-0.08, 0.02, 0.12))
            yield [(0.53, 0.36), (0.62, 0.5), (0.57, 0.64)], 0.04

    def _crease(self, path: list[tuple[float, float]], width: float) -> None:
        dark = mix(self.skin, darker(self.shadow, 0.35), 0.9)
        ink = dark if sum(self.skin) > 260 else mix(self.skin, (255, 214, 190), 0.36)
        self.canvas.stroke(smooth(points(*path), closed=False), width, ink, clip=self.face_mask)

    def _lower_face(self) -> None:
        self._beard()
        self._nose()
        self._mouth()
        if self.f.facial_hair in (FacialHair.MUSTACHE, FacialHair.BEARD):
            self._mustache()

    def _whiskers(self) -> Color:
        """The colour of brows and beard: that of the hair, with gray by age."""
        grown = self.hair if not self.bald and not self.covered else (82, 58, 44)
        return mix(grown, _GRAY, _GRAYED[self.worn])

    def _beard(self) -> None:
        kind, far = self.f.facial_hair, self.turned * 0.8
        if kind not in (FacialHair.STUBBLE, FacialHair.BEARD):
            return
        hair = self._whiskers()
        grown = 0.1 if kind is FacialHair.BEARD else 0.0
        low = self._outline(grown)
        cut = smooth(
            points(
                (-1.2, 0.16),
                (-self.cheeks + 0.08 + far, 0.26),
                (-0.44 + far, 0.5),
                (-0.3 + far, 0.44),
                (far, 0.36),
                (0.3 + far, 0.44),
                (0.44 + far, 0.5),
                (self.cheeks - 0.08 + far, 0.26),
                (1.2, 0.16),
            ),
            closed=False,
        )
        region = _both(self.canvas.mask(np.concatenate([cut, points((1.3, 1.6), (-1.3, 1.6))])), self.canvas.mask(low))
        if kind is FacialHair.BEARD:
            self.canvas.fill(low, hair, clip=region)
            self.canvas.glow(-0.3, self.chin * 0.9, 0.6, 0.4, lighter(hair, 0.35), 0.4, region)
            if self.worn == 2:
                self.canvas.fill(ellipse(far, self.chin, 0.3, 0.24), _GRAY, alpha=0.8, clip=region)
            self.canvas.fill(ellipse(far, 0.6, 0.3, 0.14), self.skin, clip=region)
            return
        dark = mix(self.skin, (50, 46, 52) if sum(self.skin) > 260 else (16, 12, 14), 0.36)
        self.canvas.fill(low, dark, clip=region)
        dots = random.Random(self.look.texture + 5)
        for _ in range(90):
            x, y = dots.uniform(-0.75, 0.75), dots.uniform(0.36, self.chin)
            self.canvas.fill(ellipse(x, y, 0.016, 0.02, count=6), mix(dark, (20, 16, 20), 0.45), clip=region)

    def _mustache(self) -> None:
        hair, far = self._whiskers(), self.turned
        big = 1.12 if self.f.facial_hair is FacialHair.MUSTACHE else 1.0
        half = [(0.0, 0.38), (0.16, 0.365), (0.3, 0.42), (0.44 * big, 0.55), (0.28, 0.53), (0.1, 0.5), (0.0, 0.475)]
        right = points(*half)
        shape = _symmetric(right) + np.array([far, 0.0])
        self.canvas.fill(shape, hair if self.f.facial_hair is FacialHair.MUSTACHE else darker(hair, 0.12))
        self.canvas.stroke(points((far, 0.4), (far, 0.47)), 0.02, darker(hair, 0.35))

    def _nose(self) -> None:
        far = self.turned * 1.6
        ink = darker(self.shadow, 0.22)
        wide = 0.15 if self.man else 0.115
        if self.young:
            self.canvas.stroke(
                smooth(points((far - 0.07, 0.27), (far, 0.3), (far + 0.07, 0.27)), closed=False), 0.035, ink
            )
            return
        side = 1 if self.look.light < 0 else -1
        bridge = points((far + side * 0.06, -0.12), (far + side * wide, 0.24), (far, 0.31), (far + side * 0.02, 0.0))
        self.canvas.fill(smooth(bridge), self.shadow, alpha=0.55)
        self.canvas.stroke(
            smooth(
                points(
                    (far - wide, 0.24),
                    (far - wide * 0.6, 0.3),
                    (far, 0.32),
                    (far + wide * 0.6, 0.3),
                    (far + wide, 0.24),
                ),
                closed=False,
            ),
            0.036,
            ink,
        )
        self.canvas.glow(far - side * 0.02, 0.2, 0.09, 0.09, lighter(self.skin, 0.7), 0.7)

    def _mouth(self) -> None:
        far = self.turned
        lip = self._lip()
        full = 1.25 if self.woman else (0.72 if self.man else 0.95)
        if self.worn >= 4:
            full *= 0.8
        draw = {
            Expression.NEUTRAL: self._closed_mouth,
            Expression.SERIOUS: self._closed_mouth,
            Expression.SMILING: self._smile,
            Expression.LAUGHING: self._laugh,
        }[self.f.expression]
        draw(far, lip, full)

    def _lip(self) -> Color:
        if self.young:
            return mix(self.skin, (206, 80, 84), 0.5)
        if self.woman:
            return random.Random(self.look.texture).choice([(204, 36, 62), (220, 56, 98), (178, 26, 58)])
        if self.man:
            return mix(self.shadow, (150, 60, 56), 0.35)
        return mix(self.skin, (196, 92, 92), 0.6)

    def _closed_mouth(self, far: float, lip: Color, full: float) -> None:
        serious = self.f.expression is Expression.SERIOUS
        droop = 0.055 if serious else 0.0
        wide = 0.22 if serious else 0.25
        y = 0.585
        upper = points(
            (-wide, y + droop),
            (-0.1, y - 0.06 * full),
            (0, y - 0.035 * full),
            (0.1, y - 0.06 * full),
            (wide, y + droop),
            (0, y + 0.012),
        )
        lower = points(
            (-wide, y + droop), (0, y + 0.004), (wide, y + droop), (0.12, y + 0.09 * full), (-0.12, y + 0.09 * full)
        )
        shift = np.array([far, 0.0])
        self.canvas.fill(smooth(lower, per_span=6) + shift, lighter(lip, 0.1))
        self.canvas.fill(smooth(upper, per_span=6) + shift, lip)
        seam = smooth(
            points(
                (-wide - 0.02, y + droop * 1.2), (-0.1, y + 0.005), (0.1, y + 0.005), (wide + 0.02, y + droop * 1.2)
            ),
            closed=False,
        )
        self.canvas.stroke(seam + shift, 0.034, darker(lip, 0.55))

    def _smile(self, far: float, lip: Color, full: float) -> None:
        """Draw closed lips with raised corners."""
        y, wide, shift = 0.56, 0.33, np.array([far, 0.0])
        arc = smooth(
            points(
                (-wide, y - 0.085), (-wide * 0.55, y + 0.04), (0, y + 0.085), (wide * 0.55, y + 0.04), (wide, y - 0.085)
            ),
            closed=False,
        )
        self.canvas.stroke(arc + np.array([0, 0.03 * full]) + shift, 0.085 * full, lighter(lip, 0.06))
        self.canvas.stroke(arc + shift, 0.04, darker(lip, 0.5))
        for side in (-1, 1):
            self.canvas.stroke(
                smooth(
                    points(
                        (side * (wide + 0.02), y - 0.14),
                        (side * (wide + 0.045), y - 0.08),
                        (side * (wide + 0.02), y - 0.03),
                    ),
                    closed=False,
                )
                + shift,
                0.03,
                darker(self.shadow, 0.15),
            )

    def _laugh(self, far: float, lip: Color, full: float) -> None:
        y, wide, shift = 0.5, 0.36, np.array([far, 0.0])
        opening = points(
            (-wide, y - 0.02),
            (0, y + 0.035),
            (wide, y - 0.02),
            (wide * 0.72, y + 0.22),
            (0, y + 0.32),
            (-wide * 0.72, y + 0.22),
        )
        shape = smooth(opening) + shift
        self.canvas.fill(smooth(opening * np.array([1.08, 1.0])) + shift, lip)
        inner = self.canvas.mask(shape)
        self.canvas.fill(shape, (104, 22, 34))
        self.canvas.fill(ellipse(far, y + 0.3, 0.2, 0.1), (226, 104, 112), clip=inner)
        teeth = points(
            (-wide, y - 0.06), (wide, y - 0.06), (wide * 0.86, y + 0.1), (0, y + 0.14), (-wide * 0.86, y + 0.1)
        )
        self.canvas.fill(smooth(teeth, per_span=5) + shift, (255, 253, 248), clip=inner)
        self.canvas.stroke(np.concatenate([shape, shape[:1]]), 0.028 * full + 0.012, darker(lip, 0.1))

    def _eyes(self) -> None:
        for side in (-1, 1):
            self._eye(side, side * (0.335 if not self.young else 0.36) + self.turned, 0.015 if not self.young else 0.06)

    def _eye(self, side: int, x: float, y: float) -> None:
        open_ = {Expression.LAUGHING: 0.115, Expression.SMILING: 0.145, Expression.SERIOUS: 0.13}.get(
            self.f.expression, 0.155
        )
        wide = 0.2
        if self.young:
            open_, wide = open_ * 1.15, 0.21
        if self.worn >= 4:
            open_ *= 0.92
        almond = points(
            (x - wide, y + 0.01),
            (x - wide * 0.45, y - open_ * 0.92),
            (x + wide * 0.3, y - open_),
            (x + wide, y),
            (x + wide * 0.45, y + open_ * 0.8),
            (x - wide * 0.45, y + open_ * 0.8),
        )
        if side > 0:
            almond = points(
                (x + wide, y + 0.01),
                (x + wide * 0.45, y - open_ * 0.92),
                (x - wide * 0.3, y - open_),
                (x - wide, y),
                (x - wide * 0.45, y + open_ * 0.8),
                (x + wide * 0.45, y + open_ * 0.8),
            )
        shape = smooth(almond)
        inside = self.canvas.mask(shape)
        self.canvas.fill(shape, (253, 252, 250))
        iris = EYES[self.f.eye_color]
        gaze = x + self.look.yaw * 0.02
        r = 0.135 if not self.young else 0.15
        self.canvas.fill(ellipse(gaze, y - 0.005, r, r), darker(iris, 0.4), clip=inside)
        self.canvas.fill(ellipse(gaze, y - 0.005, r * 0.86, r * 0.86), iris, clip=inside)
        self.canvas.fill(ellipse(gaze, y + 0.03, r * 0.62, r * 0.5), lighter(iris, 0.3), alpha=0.6, clip=inside)
        self.canvas.fill(ellipse(gaze, y - 0.005, r * 0.4, r * 0.4), (14, 10, 16), clip=inside)
        self.canvas.fill(ellipse(gaze - 0.035, y - 0.045, 0.032, 0.032, count=12), WHITE)
        self._lids(side, x, y, wide, open_)
        self._brow(side, x, y - open_)

    def _lids(self, side: int, x: float, y: float, wide: float, open_: float) -> None:
        ink = (42, 24, 26)
        thick = 0.06 if self.woman else (0.034 if self.man else 0.044)
        lid = points(
            (x - side * wide, y + 0.012),
            (x - side * wide * 0.3, y - open_),
            (x + side * wide * 0.45, y - open_ * 0.92),
            (x + side * wide, y - 0.005),
        )
        self.canvas.stroke(smooth(lid, closed=False), thick, ink)
        if self.woman and not self.young:
            for reach, rise in ((0.1, 0.12), (0.02, 0.15)):
                tip = points(
                    (x + side * (wide - 0.02 - (0.1 - reach) * 0.6), y - 0.03 - (0.1 - reach) * 0.4),
                    (x + side * (wide + reach), y - rise),
                )
                self.canvas.stroke(tip, 0.04, ink)
        if self.young and self.woman:
            self.canvas.stroke(
                points((x + side * (wide - 0.02), y - 0.02), (x + side * (wide + 0.06), y - 0.08)), 0.034, ink
            )

    def _brow(self, side: int, x: float, y: float) -> None:
        color = mix(darker(self._whiskers(), 0.3), _GRAY, _GRAYED[self.worn])
        if self.worn < 3 and sum(color) > sum(self.skin) - 90 and sum(self.skin) > 300:
            color = darker(color, 0.3)
        thick = 0.05 if self.woman else (0.1 if self.man else 0.07)
        if self.young:
            thick *= 0.7
        inner, arch, outer = -0.1, -0.155, -0.08
        if self.f.expression is Expression.SERIOUS:
            inner, arch, outer = -0.045, -0.105, -0.105
        elif self.f.expression is Expression.LAUGHING:
            inner, arch, outer = -0.15, -0.22, -0.1
        if self.woman:
            arch -= 0.03
        path = points((x - side * 0.18, y + inner), (x + side * 0.05, y + arch), (x + side * 0.23, y + outer))
        self.canvas.stroke(smooth(path, closed=False), thick, color)

    def _glasses(self) -> None:
        if self.f.glasses is Glasses.NONE:
            return
        dark = self.f.glasses is Glasses.SUNGLASSES
        rim = random.Random(self.look.texture + 1)
        frame = rim.choice([(30, 28, 34), (92, 46, 28), (140, 36, 44), (36, 58, 104)]) if not dark else (22, 20, 26)
        round_ = rim.random() < 0.5
        far = self.turned * 1.15
        for side in (-1, 1):
            x, y = side * 0.345 + far, 0.04
            lens = (
                ellipse(x, y, 0.285, 0.27, count=36)
                if round_
                else smooth(
                    points((x - 0.29, y - 0.2), (x + 0.29, y - 0.2), (x + 0.26, y + 0.2), (x - 0.26, y + 0.2)),
                    per_span=6,
                )
            )
            if dark:
                self.canvas.fill(lens, (38, 36, 48))
                glint = self.canvas.mask(lens)
                self.canvas.fill(
                    points((x - 0.2, y + 0.3), (x - 0.08, y + 0.3), (x + 0.2, y - 0.3), (x + 0.08, y - 0.3)),
                    (150, 160, 190),
                    alpha=0.4,
                    clip=glint,
                )
            else:
                self.canvas.fill(lens, (230, 244, 255), alpha=0.14)
            self.canvas.stroke(np.concatenate([lens, lens[:2]]), 0.05, frame)
            self.canvas.stroke(
                points((x + side * 0.27, y - 0.05), (side * (self.cheeks + 0.02), y - 0.02)), 0.05, frame
            )
        self.canvas.stroke(
            smooth(points((far - 0.07, 0.02), (far, -0.02), (far + 0.07, 0.02)), closed=False), 0.05, frame
        )

    def _reach(self) -> float:
        """Lowest point of loose hair."""
        return {HairLength.SHORT: 0.1, HairLength.MEDIUM: self.chin + 0.12}.get(self.f.hair_length, 2.0)

    def _edge(self, outline: Points, color: Color) -> None:
        """Draw an outline in the hair's texture: smooth, waved, or with locks."""
        style = self.f.hair_style
        if style is HairStyle.WAVY:
            outline = _waved(outline, 0.055, 0.36)
        self.canvas.fill(outline, color)
        lock = {HairStyle.CURLY: 0.155, HairStyle.COILY: 0.085}.get(style)
        if lock:
            for x, y in _along(outline, lock * 1.25):
                r = lock * self.rng.uniform(0.85, 1.15)
                self.canvas.fill(ellipse(x, y, r, r, count=16), color)

    def _hair_behind(self) -> None:
        style, dark = self.f.hair_style, darker(self.hair, 0.22)
        if style is HairStyle.PONYTAIL:
            self._ponytail()
        elif style is HairStyle.BUN:
            self._bun(dark)
        if style in _LOOSE:
            self._edge(self._mass(), dark)
            self._texture_behind()
        elif self.f.headwear is Headwear.NONE:
            self.canvas.fill(self._cap(0.09), dark)

    def _mass(self) -> Points:
        """The outline of loose hair around the head, down to its lowest point."""
        low, side = self._reach(), self.cheeks + 0.14
        style = self.f.hair_style
        puff = {HairStyle.CURLY: 0.1, HairStyle.COILY: 0.16, HairStyle.WAVY: 0.05}.get(style, 0.0)
        short = self.f.hair_length is HairLength.SHORT
        puff *= 0.5 if short else 1.0
        flare = {HairLength.MEDIUM: 0.12, HairLength.LONG: 0.2}.get(self.f.hair_length, -0.06)
        right = [
            (0.0, -1.24 - puff),
            (self.temples * 0.66, -1.14 - puff),
            (side + puff * 0.8, -0.62),
            (side + puff * 1.3, -0.1),
        ]
        if not short:
            right += [
                (side + puff * 1.2 + flare * 0.7, low * 0.55),
                (side + puff + flare, low * 0.9),
                (side * 0.72, low + 0.06),
            ]
        right += [(side * (0.9 if short else 0.3), low)]
        half = points(*right)
        return _symmetric(half)

    def _texture_behind(self) -> None:
        if self.f.hair_length is HairLength.SHORT:
            return
        low, deep = self._reach(), darker(self.hair, 0.42)
        if self.f.hair_style is HairStyle.STRAIGHT:
            for x in (0.86, 0.98):
                for side in (-1, 1):
                    x0 = side * (self.cheeks - 0.75 + x)
                    self.canvas.stroke(points((x0 * 0.97, 0.1), (x0 * 1.06, low - 0.1)), 0.03, deep)
        elif self.f.hair_style is HairStyle.WAVY:
            for side in (-1, 1):
                y = np.linspace(-0.2, low - 0.05, 24)
                x = side * (self.cheeks + 0.12 + 0.05 * np.sin(y * 9))
                self.canvas.stroke(np.stack([x, y], axis=1), 0.035, deep)
        else:
            self._curls(low)

    def _curls(self, low: float) -> None:
        big = self.f.hair_style is HairStyle.CURLY
        r = 0.15 if big else 0.075
        for side in (-1, 1):
            y = -0.3
            while y < low:
                for offset in (0.02, 0.22) if big else (-0.02, 0.12, 0.26):
                    x = side * (self.cheeks + offset + self.rng.uniform(-0.03, 0.03))
                    self._curl(x, y + self.rng.uniform(-0.04, 0.04), r)
                y += r * 1.8

    def _curl(self, x: float, y: float, r: float) -> None:
        tone = self.rng.choice([darker(self.hair, 0.1), self.hair, lighter(self.hair, 0.1)])
        self.canvas.fill(ellipse(x, y, r, r, count=16), tone)
        turn = self.rng.uniform(0, 6.28)
        arc = ellipse(x, y, r * 0.62, r * 0.62, turn=turn, count=16)[:9]
        self.canvas.stroke(arc, r * 0.22, darker(self.hair, 0.38))

    def _cap(self, thick: float) -> Points:
        """Draw hair close to the skull, as under a bun, a ponytail or braids."""
        side = self.cheeks + thick * 0.5
        half = points(
            (0.0, -1.1 - thick),
            (self.temples * 0.68, -1.02 - thick),
            (self.temples + thick + 0.03, -0.5),
            (side, -0.05),
            (side - 0.05, 0.12),
        )
        return _symmetric(half)

    def _bun(self, dark: Color) -> None:
        r = 0.36 if self.f.hair_length is HairLength.MEDIUM else 0.46
        y = -1.22 - r * 0.45
        self.canvas.fill(ellipse(0.0, y, r, r * 0.92), dark)
        self.canvas.fill(ellipse(-0.03, y - 0.03, r * 0.9, r * 0.8), self.hair)
        for turn in (0.3, 1.6):
            self.canvas.stroke(
                ellipse(0.0, y, r * 0.55, r * 0.5, turn=turn, count=20)[:12], 0.04, darker(self.hair, 0.35)
            )
        if self.f.hair_length is HairLength.LONG:
            for side in (-1, 1):
                lock = smooth(
                    points(
                        (side * self.cheeks, -0.5),
                        (side * (self.cheeks + 0.16), 0.2),
                        (side * (self.cheeks + 0.05), 0.8),
                        (side * (self.cheeks + 0.12), 1.2),
                    ),
                    closed=False,
                )
                self.canvas.stroke(lock, 0.12, self.hair)

    def _ponytail(self) -> None:
        side = 1 if self.look.yaw > 0 else -1
        low = self.chin + 0.15 if self.f.hair_length is HairLength.MEDIUM else 2.1
        tail = points(
            (side * 0.25, -1.1),
            (side * 0.75, -1.32),
            (side * 1.18, -0.85),
            (side * 1.24, low * 0.4),
            (side * 1.08, low),
            (side * 0.9, low * 0.6),
            (side * 0.85, -0.3),
        )
        self.canvas.fill(smooth(tail), self.hair)
        for inset in (0.06, 0.16):
            strand = points(
                (side * (1.12 - inset), -0.85),
                (side * (1.2 - inset), low * 0.4),
                (side * (1.08 - inset * 0.4), low - 0.1),
            )
            self.canvas.stroke(smooth(strand, closed=False), 0.035, darker(self.hair, 0.35))
        self.canvas.stroke(points((side * 0.5, -1.2), (side * 0.66, -1.0)), 0.16, CLOTH[self.look.hat_color])

    def _hair_in_front(self) -> None:
        style = self.f.hair_style
        if self.f.headwear is Headwear.NONE:
            self._fringe()
        if style is HairStyle.BRAIDS and self.f.hair_length is not HairLength.SHORT:
            self._plaits()
        elif style in _LOOSE and self.f.hair_length is not HairLength.SHORT:
            self._front_locks()
        if self.worn >= 2 and self.f.hair_color not in (HairColor.GRAY, HairColor.WHITE):
            self._gray_temples()

    def _fringe(self) -> None:
        """Draw the hair above the face, inside the skull's outline, down to the hairline."""
        loose = self.f.hair_style in _LOOSE
        cut = random.Random(self.look.texture + 2).randrange(3)
        over = self._hairline(cut if loose else 3)
        scalp = self._mass() if loose else self._cap(0.09)
        region = _both(
            self.canvas.mask(scalp), self.canvas.mask(np.concatenate([over, points((1.6, -2.2), (-1.6, -2.2))]))
        )
        self.canvas.fill(scalp, self.hair, clip=region)
        self.canvas.glow(
            -0.25 if self.look.light < 0 else 0.25, -0.98, 0.62, 0.3, lighter(self.hair, 0.55), 0.55, region
        )
        self._fringe_texture(over, region)

    def _hairline(self, cut: int) -> Points:
        """Side part, full fringe, parted in the middle, or combed back."""
        w = self.temples + 0.02
        part = 0.25 if self.look.yaw > 0 else -0.25
        lines = {
            0: points(
                (-1.3, 0.12),
                (-w - 0.02, 0.02),
                (-w + 0.05, -0.42),
                (part, -0.86),
                (0.2, -0.6),
                (w - 0.05, -0.4),
                (w + 0.02, 0.02),
                (1.3, 0.12),
            ),
            1: points(
                (-1.3, 0.12),
                (-w - 0.02, 0.02),
                (-w + 0.06, -0.34),
                (-0.3, -0.42),
                (0.0, -0.38),
                (0.3, -0.42),
                (w - 0.06, -0.34),
                (w + 0.02, 0.02),
                (1.3, 0.12),
            ),
            2: points(
                (-1.3, 0.12),
                (-w - 0.02, 0.02),
                (-w + 0.06, -0.4),
                (-0.3, -0.72),
                (0.0, -0.98),
                (0.3, -0.72),
                (w - 0.06, -0.4),
                (w + 0.02, 0.02),
                (1.3, 0.12),
            ),
            3: points(
                (-1.3, 0.14),
                (-w - 0.04, 0.04),
                (-w + 0.03, -0.4),
                (-0.34, -0.78),
                (0.0, -0.84),
                (0.34, -0.78),
                (w - 0.03, -0.4),
                (w + 0.04, 0.04),
                (1.3, 0.14),
            ),
        }
        if cut == 0 and part < 0:
            lines[0] = lines[0][::-1] * np.array([-1.0, 1.0])
            lines[0][3, 0] = part
            lines[0] = lines[0][np.argsort(lines[0][:, 0], kind="stable")]
        line = smooth(lines[cut], closed=False)
        return _waved(line, 0.045, 0.3) if self.f.hair_style is HairStyle.WAVY else line

    def _fringe_texture(self, over: Points, region: Image.Image) -> None:
        style, deep = self.f.hair_style, darker(self.hair, 0.34)
        if style in (HairStyle.CURLY, HairStyle.COILY):
            r = 0.145 if style is HairStyle.CURLY else 0.075
            y = -1.22
            while y < -0.5:
                x = -1.0
                while x < 1.0:
                    limit = float(np.interp(x, over[:, 0], over[:, 1]))
                    inside = abs(x) < (self.cheeks + 0.12) * math.sqrt(max(1 - ((y + 0.3) / 1.1) ** 2, 0.0))
                    if y < limit and inside:
                        self._curl(x + self.rng.uniform(-0.03, 0.03), y, r)
                    x += r * 1.75
                y += r * 1.6
            return
        if style is HairStyle.BRAIDS:
            for x in np.linspace(-0.75, 0.75, 7):
                row = smooth(points((x * 0.35, -1.16), (x * 0.8, -0.98), (x * 1.02, -0.62)), closed=False)
                self.canvas.stroke(
                    row, 0.035, darker(self.hair, 0.5) if sum(self.hair) > 180 else lighter(self.hair, 0.4), clip=region
                )
            return
        for index, x in enumerate(np.linspace(-0.7, 0.7, 6)):
            bend = 0.05 * math.sin(index * 2.3)
            strand = smooth(
                points((x * 0.25, -1.16), (x * 0.75, -0.92 + bend), (x * 1.05, -0.5)), closed=False, per_span=10
            )
            if style is HairStyle.WAVY:
                strand = _waved(strand, 0.05, 0.3)
            self.canvas.stroke(strand, 0.03, deep, clip=region)

    def _front_locks(self) -> None:
        """Draw hair in front of the ears, so that length can be seen."""
        low = min(self._reach(), 2.2)
        for side in (-1, 1):
            x = self.cheeks
            top = -0.5 if self.f.headwear is Headwear.NONE else -0.42
            lock = points(
                (x - 0.06, top),
                (x + 0.12, -0.2),
                (x + 0.15, low * 0.5),
                (x + 0.2, low),
                (x + 0.02, low - 0.02),
                (x + 0.0, low * 0.45),
                (x - 0.07, 0.1),
            ) * np.array([side, 1.0])
            shape = smooth(lock)
            if self.f.hair_style in (HairStyle.CURLY, HairStyle.COILY):
                r = 0.14 if self.f.hair_style is HairStyle.CURLY else 0.075
                for px, py in _along(shape, r * 1.5):
                    self._curl(side * max(side * px, x + 0.04 * r), py, r)
                continue
            self.canvas.fill(_waved(shape, 0.05, 0.34) if self.f.hair_style is HairStyle.WAVY else shape, self.hair)
            y = np.linspace(0.0, low - 0.1, 20)
            sway = 0.05 * np.sin(y * 9) if self.f.hair_style is HairStyle.WAVY else 0.0 * y
            self.canvas.stroke(
                np.stack([side * (x + 0.07 + sway + y * 0.02), y], axis=1), 0.028, darker(self.hair, 0.3)
            )

    def _plaits(self) -> None:
        low = self.chin + 0.2 if self.f.hair_length is HairLength.MEDIUM else 2.2
        for side in (-1, 1):
            y, x = 0.05, self.cheeks + 0.08
            while y < low:
                self.canvas.fill(ellipse(side * x, y, 0.15, 0.13), darker(self.hair, 0.2))
                self.canvas.fill(ellipse(side * (x - 0.05), y - 0.02, 0.1, 0.085, turn=0.6), self.hair)
                self.canvas.fill(ellipse(side * (x + 0.05), y + 0.02, 0.1, 0.085, turn=-0.6), lighter(self.hair, 0.14))
                y += 0.19
                x += 0.012
            self.canvas.fill(ellipse(side * x, y - 0.02, 0.11, 0.06), CLOTH[self.look.hat_color])
            self.canvas.fill(ellipse(side * x, y + 0.1, 0.1, 0.12), self.hair)

    def _gray_temples(self) -> None:
        for side in (-1, 1):
            x = side * (self.temples + 0.03)
            for inset in (0.0, 0.07, 0.14)[: self.worn - 1]:
                lock = points(((x - side * inset) * 0.99, -0.46), ((x - side * inset) * 1.06, -0.26), (x * 1.07, -0.02))
                self.canvas.stroke(smooth(lock, closed=False), 0.05, (212, 213, 218))

    def _headwear(self) -> None:
        draw = {Headwear.HAT: self._hat, Headwear.CAP: self._cap_worn, Headwear.SCARF: self._scarf}.get(self.f.headwear)
        if draw is not None:
            draw(CLOTH[self.look.hat_color])

    def _hat(self, cloth: Color) -> None:
        crown = points(
            (-0.66, -0.62),
            (-0.68, -1.15),
            (-0.5, -1.58),
            (-0.14, -1.5),
            (0.14, -1.5),
            (0.5, -1.58),
            (0.68, -1.15),
            (0.66, -0.62),
        )
        self.canvas.fill(smooth(crown), cloth)
        inside = self.canvas.mask(smooth(crown))
        self.canvas.glow(0.5 if self.look.light < 0 else -0.5, -1.1, 0.6, 0.9, darker(cloth, 0.5), 0.5, inside)
        self.canvas.fill(
            points((-0.8, -0.98), (0.8, -0.98), (0.8, -0.7), (-0.8, -0.7)), darker(cloth, 0.5), clip=inside
        )
        brim = ellipse(0.0, -0.62, 1.34, 0.24, count=48)
        self.canvas.fill(brim, darker(cloth, 0.12))
        self.canvas.fill(ellipse(0.0, -0.66, 1.3, 0.19, count=48), lighter(cloth, 0.12), alpha=0.8)
        band = smooth(
            points((-0.68, -0.96), (0, -0.88), (0.68, -0.96), (0.67, -0.66), (0, -0.56), (-0.67, -0.66)), per_span=6
        )
        self.canvas.fill(band, darker(cloth, 0.55))

    def _cap_worn(self, cloth: Color) -> None:
        t = self.temples + 0.14
        half = points((0.0, -1.34), (t * 0.62, -1.24), (t, -0.82), (t + 0.02, -0.46))
        dome = _symmetric(half)
        self.canvas.fill(dome, cloth)
        inside = self.canvas.mask(dome)
        self.canvas.glow(-0.3 if self.look.light < 0 else 0.3, -1.1, 0.5, 0.4, lighter(cloth, 0.6), 0.5, inside)
        for x in (-0.36, 0.36):
            self.canvas.stroke(
                smooth(points((0, -1.34), (x, -1.0), (x * 1.25, -0.5)), closed=False), 0.026, darker(cloth, 0.3)
            )
        far = self.turned * 3
        visor = points(
            (-0.72 + far, -0.52),
            (-0.4 + far, -0.66),
            (0.4 + far, -0.66),
            (0.72 + far, -0.52),
            (0.62 + far, -0.33),
            (0.0 + far, -0.27),
            (-0.62 + far, -0.33),
        )
        self.canvas.fill(smooth(visor), darker(cloth, 0.32))
        self.canvas.stroke(
            smooth(points((-0.7 + far, -0.53), (0 + far, -0.66), (0.7 + far, -0.53)), closed=False),
            0.04,
            lighter(cloth, 0.25),
        )
        self.canvas.fill(ellipse(0.0, -1.34, 0.07, 0.05), darker(cloth, 0.3))

    def _scarf(self, cloth: Color) -> None:
        w, c = self.cheeks + 0.22, self.chin
        half = points(
            (0.0, -1.36),
            (self.temples * 0.72, -1.24),
            (self.temples + 0.26, -0.6),
            (w, 0.1),
            (w - 0.08, c * 0.8),
            (w + 0.1, c + 0.5),
            (0.5, c + 0.72),
            (0.0, c + 0.8),
        )
        outer = _symmetric(half)
        t, j = self.temples - 0.06, self.jaw + 0.02
        inner_half = points(
            (0.0, -0.74),
            (t * 0.7, -0.66),
            (t + 0.02, -0.3),
            (self.cheeks - 0.05, 0.1),
            (j - 0.04, c * 0.55),
            (self.chin_width + 0.06, c * 0.88),
            (0.0, c * 0.985),
        )
        inner = _symmetric(inner_half)
        hole = self.canvas.mask(inner).point(lambda v: 255 - v)
        cover = _both(self.canvas.mask(outer), hole)
        self.canvas.fill(outer, cloth, clip=cover)
        self.canvas.glow(0.8 if self.look.light < 0 else -0.8, 0.2, 0.9, 1.6, darker(cloth, 0.55), 0.6, cover)
        self.canvas.stroke(np.concatenate([inner, inner[:2]]), 0.06, darker(cloth, 0.35), clip=cover)
        for y in (0.2, 0.4):
            fold = smooth(
                points((-w + 0.1, c * 0.7 + y), (0.0, c + 0.22 + y * 0.8), (w - 0.1, c * 0.66 + y)), closed=False
            )
            self.canvas.stroke(fold, 0.04, darker(cloth, 0.28), clip=cover)
        self.canvas.stroke(
            smooth(points((-0.5, -1.16), (0.1, -0.98), (self.temples + 0.1, -0.5)), closed=False),
            0.035,
            lighter(cloth, 0.3),
            clip=cover,
        )

    def _earrings(self) -> None:
        if self.f.earrings is not Earrings.WORN:
            return
        gold, edge = (255, 206, 64), (176, 112, 20)
        out = self.cheeks + (0.08 if not self.covered else 0.2)
        hoop = random.Random(self.look.texture + 3).random() < 0.5
        for side in (-1, 1):
            x, y = side * out - self.turned * 0.5, 0.34
            if hoop:
                ring = ellipse(x, y + 0.17, 0.135, 0.16)
                self.canvas.stroke(np.concatenate([ring, ring[:2]]), 0.085, edge)
                self.canvas.stroke(np.concatenate([ring, ring[:2]]), 0.055, gold)
            else:
                self.canvas.fill(ellipse(x, y, 0.075, 0.075), edge)
                self.canvas.fill(ellipse(x, y + 0.18, 0.115, 0.16), edge)
                self.canvas.fill(ellipse(x, y, 0.055, 0.055), gold)
                self.canvas.fill(ellipse(x, y + 0.18, 0.09, 0.13), gold)
                self.canvas.fill(ellipse(x - 0.03, y + 0.13, 0.03, 0.04), (255, 246, 200))

    def _light(self) -> None:
        """Draw a faint tint of the background's light over the whole picture."""
        tint: Color = {"night": (40, 50, 140), "beach": (255, 220, 150), "forest": (190, 230, 150)}.get(
            self.look.background, (255, 240, 220)
        )
        self.canvas.frame = self.canvas.frame_at(0, 0, 1)
        self.canvas.glow(0.1 if self.look.light > 0 else 0.9, 0.05, 0.9, 0.9, tint, 0.14)


def _both(a: Image.Image, b: Image.Image) -> Image.Image:
    return ImageChops.multiply(a, b)


def _symmetric(right: Points) -> Points:
    """A smooth closed outline from its right half, top to bottom; points on the axis are not doubled."""
    left = right[::-1][np.abs(right[::-1, 0]) > 1e-9] * np.array([-1.0, 1.0])
    return smooth(np.concatenate([right, left]))


def _along(outline: Points, step: float) -> Points:
    """Return points at equal distances along a closed outline."""
    closed = np.concatenate([outline, outline[:1]])
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.arange(0, far[-1], step)
    return np.stack([np.interp(at, far, closed[:, 0]), np.interp(at, far, closed[:, 1])], axis=1)


def _waved(path: Points, height: float, length: float) -> Points:
    """The path with waves across it, in units of the drawing."""
    reach = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0, reach[-1], max(int(reach[-1] / length * 12), 8))
    path = np.stack([np.interp(at, reach, path[:, 0]), np.interp(at, reach, path[:, 1])], axis=1)
    steps = np.diff(path, axis=0, append=2 * path[-1:] - path[-2:-1])
    far = np.cumsum(np.hypot(*steps.T))
    normal = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    normal /= np.maximum(np.hypot(*normal.T)[:, None], 1e-6)
    return np.asarray(path + normal * (height * np.sin(far * 2 * math.pi / length))[:, None])


def _person(**values: str) -> Features:
    return Features.model_validate(values)


SELFIES: dict[str, tuple[Features, int, str]] = {
    "mara": (
        _person(
            gender_presentation="feminine", age_band="25_34", skin_tone="light", hair_color="red", hair_length="long",
            hair_style="wavy", eye_color="green", facial_hair="none", glasses="none", expression="smiling",
            face_shape="oval", headwear="none", earrings="worn",
        ),
        3,
        "beach",
    ),
    "tomas": (
        _person(
            gender_presentation="masculine", age_band="35_44", skin_tone="tan", hair_color="black", hair_length="short",
            hair_style="wavy", eye_color="brown", facial_hair="beard", glasses="eyeglasses", expression="neutral",
            face_shape="square", headwear="none", earrings="none",
        ),
        5,
        "city",
    ),
    "ife": (
        _person(
            gender_presentation="feminine", age_band="18_24", skin_tone="dark", hair_color="black",
            hair_length="medium", hair_style="coily", eye_color="brown", facial_hair="none", glasses="none",
            expression="laughing",
            face_shape="heart", headwear="none", earrings="worn",
        ),
        8,
        "yellow",
    ),
    "walter": (
        _person(
            gender_presentation="masculine", age_band="65_plus", skin_tone="very_light", hair_color="white",
            hair_length="short", hair_style="straight", eye_color="blue", facial_hair="mustache", glasses="none",
            expression="smiling", face_shape="round", headwear="none", earrings="none",
        ),
        13,
        "forest",
    ),
    "noor": (
        _person(
            gender_presentation="feminine", age_band="35_44", skin_tone="medium", eye_color="hazel", facial_hair="none",
            glasses="eyeglasses", expression="smiling", face_shape="oval", headwear="scarf", earrings="none",
        ),
        21,
        "indoors",
    ),
    "robin": (
        _person(
            gender_presentation="androgynous", age_band="25_34", skin_tone="brown", hair_color="dyed",
            hair_length="short", hair_style="curly", eye_color="hazel", facial_hair="none", glasses="none",
            expression="serious", face_shape="long", headwear="none", earrings="worn",
        ),
        34,
        "purple",
    ),
}  # fmt: skip
"""Name → features, seed, background of six invented adults."""


def write_selfies(folder: Path, *, size: int = 640) -> list[Path]:
    """Write the test selfies as JPEG with sides of `size` px; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (features, seed, background) in SELFIES.items():
        path = folder / f"{name}.jpg"
        draw_face(features, seed=seed, size=size, background=background).save(path, quality=92)
        written.append(path)
    return written


def _main(folder: Annotated[Path, typer.Argument(help="Folder for the selfies; created if it is missing.")]) -> None:
    """Draw the demo's test selfies."""
    for path in write_selfies(folder):
        typer.echo(str(path))


if __name__ == "__main__":
    typer.run(_main)
