"""Quality of a face picture: measures of ISO/IEC 29794-5 that need only the pixels and the face's box.

Formulas and constants are those of OFIQ, the standard's open reference implementation. Our own, as marked below, are
the estimates of head height and eye distance from a box, the scale of sharpness, and the weights. Natural colour is not
measured, because it depends on skin tone.

May import: numpy, core.contracts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.contracts import FaceQuality

Luminance = NDArray[np.float64]
"""`(H, W)`, 0–255."""

NO_FACE_PENALTY = 0.5
"""Factor of the score if the picture shows no face."""

_EYES_TO_CHIN = 0.6
"""Share of the box's height. ISO's T is from between the eyes to the chin, a box from the forehead to the chin."""
_EYES_APART = 0.4
"""Distance of the eyes as a share of the box's width."""
_SHARPNESS_SIDE = 128
"""Width in px to which a face is scaled before its sharpness is measured, so that the picture's size has no effect."""
_FLOOR = 0.01
"""Least value of a measure in the score, so that pictures that fail in one measure are still ordered."""

_WEIGHTS = {
    "single_face": 0.5,
    "head_size": 0.5,
    "inter_eye_distance": 1.0,
    "under_exposure": 1.0,
    "over_exposure": 1.0,
    "dynamic_range": 1.0,
    "luminance": 1.0,
    "illumination_uniformity": 0.5,
    "sharpness": 2.0,
}


@dataclass(frozen=True, slots=True)
class Box:
    """A face in px of the picture. Public YOLOv8-face weights give boxes without landmarks."""

    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def moved(self, x: float, y: float) -> Box:
        return replace(self, left=self.left + x, right=self.right + x, top=self.top + y, bottom=self.bottom + y)


_BT_709 = np.array([0.2126, 0.7152, 0.0722])


def luminance(rgb: NDArray[np.uint8]) -> Luminance:
    """`(H, W, 3)` sRGB → `(H, W)` luminance as in ISO/IEC 29794-5: linear light in whole steps of 0–255."""
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    light: Luminance = np.floor(linear[rgb] @ _BT_709 * 255 + 0.5)
    return light


def measure(rgb: NDArray[np.uint8], boxes: list[Box]) -> FaceQuality:
    """The components for the picture `(H, W, 3)` whose main face is `boxes[0]`; without a face, those of the pixels."""
    if not boxes:
        return FaceQuality(**_pixel_measures(rgb))
    face, height = boxes[0], rgb.shape[0]
    return FaceQuality(
        single_face=single_face([box.area for box in boxes]),
        head_size=head_size(_EYES_TO_CHIN * (face.bottom - face.top), height),
        inter_eye_distance=inter_eye_distance(eye_distance(face)),
        **_pixel_measures(_inside(rgb, face)),
    )


def overall(quality: FaceQuality, *, detected: bool) -> float:
    """Weighted geometric mean of the measured components, so that one failing component lowers the score."""
    found = [(weight, getattr(quality, name)) for name, weight in _WEIGHTS.items()]
    known = [(weight, value) for weight, value in found if value is not None]
    if not known:
        return 0.0
    logs = sum(weight * math.log(max(value, _FLOOR)) for weight, value in known)
    score = math.exp(logs / sum(weight for weight, _ in known))
    return round(score if detected else score * NO_FACE_PENALTY, 4)


def single_face(areas: list[float]) -> float:
    """1 − area of the second face ÷ area of the first."""
    first, *others = areas
    return _unit(100 * (1 - max(others, default=0.0) / first)) if first > 0 else 0.0


def head_size(eyes_to_chin_px: float, picture_height_px: int) -> float:
    return _unit(_scalar(abs(eyes_to_chin_px / picture_height_px - 0.45), h=200, a=1, s=-1, w=0.05))


def inter_eye_distance(distance_px: float) -> float:
    return _unit(_scalar(distance_px, x0=70, w=20))


def under_exposure(light: Luminance) -> float:
    dark = float(np.mean(light <= 25))
    return _unit(_scalar(dark, h=120, a=0.832, s=-1, x0=0.92, w=0.05))


def over_exposure(light: Luminance) -> float:
    return _unit(1 / (float(np.mean(light >= 247)) + 0.01))


def dynamic_range(light: Luminance) -> float:
    """12.5 × entropy of the luminance histogram: 8 bits give 100."""
    shares = _histogram(light)
    shares = shares[shares > 0]
    return _unit(12.5 * -float(np.sum(shares * np.log2(shares))))


def mean_luminance(light: Luminance) -> float:
    mean = float(light.mean()) / 255
    return _unit(100 * _sigmoid((mean - 0.2) / 0.05) * (1 - _sigmoid((mean - 0.8) / 0.05)))


def illumination_uniformity(light: Luminance) -> float:
    """Similarity in luminance of the left and right halves: intersection of histograms, to the power of 0.3."""
    middle = light.shape[1] // 2
    if middle == 0:
        return 0.0
    shared = np.minimum(_histogram(light[:, :middle]), _histogram(light[:, middle:])).sum()
    return _unit(100 * float(shared) ** 0.3)


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian at a fixed size of face. The scale is our own: a variance of 50 makes one half.

    Measured on the encoded values: in linear light the same edge has a lower variance on darker skin.
    """
    if min(rgb.shape[:2]) < 3:
        return 0.0
    at_size = _resized(rgb @ _BT_709, _SHARPNESS_SIDE)
    laplacian = (
        at_size[:-2, 1:-1] + at_size[2:, 1:-1] + at_size[1:-1, :-2] + at_size[1:-1, 2:] - 4 * at_size[1:-1, 1:-1]
    )
    return _unit(_scalar(math.log10(float(laplacian.var()) + 1e-9), x0=math.log10(50), w=0.25))


def eye_distance(face: Box) -> float:
    """Px between the eyes, estimated from the box."""
    return _EYES_APART * (face.right - face.left)


def _pixel_measures(rgb: NDArray[np.uint8]) -> dict[str, float]:
    light = luminance(rgb)
    return {
        "under_exposure": under_exposure(light),
        "over_exposure": over_exposure(light),
        "dynamic_range": dynamic_range(light),
        "luminance": mean_luminance(light),
        "illumination_uniformity": illumination_uniformity(light),
        "sharpness": sharpness(rgb),
    }


def _inside(rgb: NDArray[np.uint8], face: Box) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    top, left = min(max(0, int(face.top)), height - 1), min(max(0, int(face.left)), width - 1)
    bottom, right = max(top + 1, math.ceil(face.bottom)), max(left + 1, math.ceil(face.right))
    return rgb[top:bottom, left:right]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _scalar(x: float, *, h: float = 100, a: float = 0, s: float = 1, x0: float = 0, w: float = 1) -> float:
    """OFIQ's scalar map, 0–100."""
    return h * (a + s * _sigmoid((x - x0) / w))


def _unit(score: float) -> float:
    """A score of 0–100, rounded and clipped as OFIQ does, as 0–1."""
    return min(100, max(0, round(score))) / 100


def _histogram(light: Luminance) -> NDArray[np.float64]:
    counts, _ = np.histogram(light, bins=256, range=(0, 256))
    shares: NDArray[np.float64] = counts / max(1, light.size)
    return shares


def _resized(light: Luminance, width: int) -> Luminance:
    """`light` scaled to `width` px, with its proportions."""
    from PIL import Image

    height = max(3, round(light.shape[0] * width / light.shape[1]))
    return np.asarray(Image.fromarray(light.astype(np.float32)).resize((width, height), Image.Resampling.BOX), float)
