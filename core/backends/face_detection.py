"""Face detection: a YOLOv8-face checkpoint, run at several scales.

A single face that fills a selfie is found at the detector's own input size, or in a small and softened copy, in which
drawn faces resemble photographs. Where the faces found are small, there may be more of them: then other scales are run
as well and their boxes are merged.

May import: torch, ultralytics, core.backends.face_quality, core.errors.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.backends.face_quality import Box
from core.errors import Misconfigured

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from core.weights import Located

FACE_FLOOR = 0.35
"""Confidence below which a box is no face."""
_SMALL_COPIES = ((0.4, 1.4 / 320), (0.6, 1.4 / 320), (0.2, 0.5 / 320))
_SOFT_COPIES = ((1.0, 1.4 / 320), (1.0, 0.5 / 320))
"""The picture's longer side and the radius of the blur, as shares of the detector's input side."""
_ALONE = 0.4
"""Height of a face, of the picture's, from which on no smaller ones are searched for."""
_SAME_FACE = 0.4
"""Intersection over union, from which on two boxes are the same face."""
_WITHIN = 0.7
"""Share of the smaller box that lies within the larger one, from which on they are the same face."""


class FaceFinder:
    """Any YOLO that ultralytics opens: one class of faces or several among others, with landmarks or without."""

    def __init__(self, located: Located, device: torch.device) -> None:
        _disable_ultralytics_network()
        from ultralytics import YOLO

        self.device = device
        self.side = located.facts.input_side
        self.model = YOLO(located.path, task=None if located.path.suffix == ".pt" else "detect", verbose=False)
        self.classes = _face_classes(self.model.names)

    def find(self, image: Image) -> list[Box]:
        """Faces, the main one first: large, near the centre, and certain."""
        faces = next((faces for faces in self._scales(image) if faces), [])
        if faces and max(face.bottom - face.top for face in faces) < _ALONE * image.height:
            faces = merged([*faces, *self._more(image)])
        return sorted(faces, key=lambda face: prominence(face, image.size), reverse=True)

    def _scales(self, image: Image) -> Iterator[list[Box]]:
        yield self._detect(image, self.side)
        yield self._detect(image, 2 * self.side)
        for share, blur in _SMALL_COPIES:
            yield self._detect_in_copy(image, share, blur)

    def _more(self, image: Image) -> Iterator[Box]:
        yield from self._detect(image, 2 * self.side)
        for share, blur in _SOFT_COPIES:
            yield from self._detect_in_copy(image, share, blur)

    def _detect_in_copy(self, image: Image, share: float, blur: float) -> list[Box]:
        """Faces in a copy of the picture of another size, softened, on gray.

        With the small copies the packaged detector finds 87 % of `embedded.drawing.faces`, and one in nine without.
        """
        from PIL import Image as Pictures
        from PIL import ImageFilter

        scale = self.side * share / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        ground = Pictures.new("RGB", (self.side, self.side), (128, 128, 128))
        ground.paste(image.resize((width, height)), (left, top))
        boxes = self._detect(ground.filter(ImageFilter.GaussianBlur(self.side * blur)), self.side)
        return [
            Box(
                max((box.left - left) / scale, 0),
                max((box.top - top) / scale, 0),
                min((box.right - left) / scale, image.width),
                min((box.bottom - top) / scale, image.height),
                box.confidence,
                tuple(((x - left) / scale, (y - top) / scale) for x, y in box.landmarks),
            )
            for box in boxes
        ]

    def _detect(self, image: Image, side: int) -> list[Box]:
        # NMS across classes: a face that could be of two of them is still one face.
        [seen] = self.model.predict(
            image,
            imgsz=side,
            conf=FACE_FLOOR,
            classes=self.classes,
            agnostic_nms=True,
            device=str(self.device),
            verbose=False,
        )
        corners, shares = seen.boxes.xyxy.tolist(), seen.boxes.conf.tolist()
        points = seen.keypoints.xy.tolist() if seen.keypoints is not None else [[]] * len(corners)
        return [
            Box(left, top, right, bottom, share, tuple((x, y) for x, y in marks))
            for (left, top, right, bottom), share, marks in zip(corners, shares, points, strict=True)
        ]


def prominence(face: Box, size: tuple[int, int]) -> float:
    """Area times confidence, halved towards the corners of a picture of `size`."""
    width, height = size
    off_x = (face.left + face.right) / width - 1
    off_y = (face.top + face.bottom) / height - 1
    return face.area * face.confidence * (1 - math.hypot(off_x, off_y) / math.sqrt(8))


def merged(boxes: Iterable[Box]) -> list[Box]:
    """`boxes` of several scales without those of the same face; the most certain one of each stays."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: box.confidence, reverse=True):
        if not any(_same_face(box, other) for other in kept):
            kept.append(box)
    return kept


def _same_face(one: Box, other: Box) -> bool:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(0.0, width) * max(0.0, height)
    smaller = min(one.area, other.area)
    return common > _SAME_FACE * (one.area + other.area - common) or common > _WITHIN * smaller > 0


def _disable_ultralytics_network() -> None:
    """Keep ultralytics from installing packages, sending usage data and unpickling what it is given."""
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "true"
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "ultralytics"))


def _face_classes(names: dict[int, str]) -> list[int]:
    faces = [number for number, name in names.items() if "face" in name.lower()]
    if not faces and len(names) == 1:
        return list(names)
    if not faces:
        raise Misconfigured("The face detector's weights know no class of faces; use a YOLOv8-face checkpoint.")
    return faces
